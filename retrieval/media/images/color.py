"""Convert images to sRGB, the color space of training images, with their ICC profile."""

from functools import lru_cache, partial
from io import BytesIO

from PIL import Image, ImageCms

MAX_SRGB_DIFFERENCE = 6  # of 255; a profile that changes no test color by more is sRGB
MAX_CACHED_TRANSFORMS = 16  # all images of a camera have the same profile
_TEST_COLORS = [(r, g, b) for r in range(0, 256, 85) for g in range(0, 256, 85) for b in range(0, 256, 85)]


def convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a CMYK, Lab or RGB image in sRGB; unchanged if its profile is unusable or already sRGB."""
    if image.mode not in ("RGB", "CMYK", "LAB"):
        return image
    transform = _srgb_transform(profile or b"", image.mode)
    if transform is None:
        return image
    return transform.apply(image)


def needs_srgb_conversion(image: Image.Image, profile: bytes | None) -> bool:
    """Return True if `convert_to_srgb` would change the colors."""
    return image.mode in ("RGB", "CMYK", "LAB") and _srgb_transform(profile or b"", image.mode) is not None


@lru_cache(maxsize=MAX_CACHED_TRANSFORMS)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform of a mode and a profile to sRGB; None if it is impossible or changes nothing."""
    build = partial(
        ImageCms.buildTransform,
        outputProfile=_srgb_profile(),
        inMode=mode,
        outMode="RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "LAB":
        return build(ImageCms.createProfile("LAB"))
    try:
        transform = build(ImageCms.ImageCmsProfile(BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode == "RGB" and _is_identity(transform) else transform


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return True if a transform leaves a grid of RGB colors nearly unchanged."""
    chart = Image.new("RGB", (len(_TEST_COLORS), 1))
    chart.putdata(_TEST_COLORS)
    values = zip(chart.tobytes(), transform.apply(chart).tobytes(), strict=True)
    return all(abs(before - after) <= MAX_SRGB_DIFFERENCE for before, after in values)


@lru_cache(maxsize=1)
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
