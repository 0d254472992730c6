"""Bring pictures into sRGB, which models have learned from, by the colour profile they carry."""

from functools import lru_cache, partial
from io import BytesIO

from PIL import Image, ImageCms

MAX_SRGB_DIFFERENCE = 6  # of 255: a profile that changes no colour by more is sRGB by another name
MAX_CACHED_TRANSFORMS = 16  # transforms; a camera writes one profile into all its pictures
_TEST_COLORS = [(r, g, b) for r in range(0, 256, 85) for g in range(0, 256, 85) for b in range(0, 256, 85)]


def convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture of CMYK or Lab as RGB; of RGB whose profile differs from sRGB, its colours in that.

    A profile that cannot be used is none.
    """
    if image.mode not in ("RGB", "CMYK", "LAB"):
        return image
    transform = _srgb_transform(profile or b"", image.mode)
    if transform is None:
        return image
    return transform.apply(image)


def needs_srgb_conversion(image: Image.Image, profile: bytes | None) -> bool:
    """Say whether `convert` would change the colours."""
    return image.mode in ("RGB", "CMYK", "LAB") and _srgb_transform(profile or b"", image.mode) is not None


@lru_cache(maxsize=MAX_CACHED_TRANSFORMS)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what brings a mode into sRGB, None where nothing does or nothing changes."""
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
        made = build(ImageCms.ImageCmsProfile(BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode == "RGB" and _is_identity(made) else made


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Say whether a transform leaves colours from all over RGB where they are."""
    chart = Image.new("RGB", (len(_TEST_COLORS), 1))
    chart.putdata(_TEST_COLORS)
    values = zip(chart.tobytes(), transform.apply(chart).tobytes(), strict=True)
    return all(abs(one - other) <= MAX_SRGB_DIFFERENCE for one, other in values)


@lru_cache(maxsize=1)
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
