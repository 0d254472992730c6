"""Bring pictures into sRGB, which models have learned from, by the colour profile they carry."""

from functools import lru_cache, partial
from io import BytesIO

from PIL import Image, ImageCms

NEAR = 6  # of 255: a profile that changes no colour by more is sRGB by another name
KEPT = 16  # transforms; a camera writes one profile into all its pictures
_GRID = [(r, g, b) for r in range(0, 256, 85) for g in range(0, 256, 85) for b in range(0, 256, 85)]


def convert(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture of CMYK or Lab as RGB; of RGB whose profile differs from sRGB, its colours in that.

    A profile that cannot be used is none.
    """
    if picture.mode not in ("RGB", "CMYK", "LAB"):
        return picture
    transform = _transform(profile or b"", picture.mode)
    if transform is None:
        return picture
    return transform.apply(picture)


def is_needed(picture: Image.Image, profile: bytes | None) -> bool:
    """Say whether `convert` would change the colours."""
    return picture.mode in ("RGB", "CMYK", "LAB") and _transform(profile or b"", picture.mode) is not None


@lru_cache(maxsize=KEPT)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what brings a mode into sRGB, None where nothing does or nothing changes."""
    build = partial(
        ImageCms.buildTransform,
        outputProfile=_srgb(),
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
    return None if mode == "RGB" and _changes_nothing(made) else made


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Say whether a transform leaves colours from all over RGB where they are."""
    chart = Image.new("RGB", (len(_GRID), 1))
    chart.putdata(_GRID)
    values = zip(chart.tobytes(), transform.apply(chart).tobytes(), strict=True)
    return all(abs(one - other) <= NEAR for one, other in values)


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
