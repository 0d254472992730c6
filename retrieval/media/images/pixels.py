"""Pixel conversions: orientation, transparency, 16-bit and float scaling."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.media.images.color import convert_to_srgb, needs_srgb_conversion

LARGE_IMAGE_PIXELS = 40_000_000  # pixels; only one such picture is decoded at a time

BAND_PIXELS = 4_000_000  # pixels that are converted together

MAX_16_BIT = 65_535.0  # the most that 16 bits hold

MAX_13_BIT = 8_192  # the most that is in a picture of 12 or 13 bits, which would be dark among 16

WHITE = (255, 255, 255)

ORIENTATION_TRANSPOSES = {  # EXIF orientation -> what sets it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_reduced_srgb(image: Image.Image, min_side: int | None, min_long_side: int) -> Image.Image:
    """Return RGB in the colours that screens show; what must be converted is first made smaller."""
    profile = image.info.get("icc_profile")
    if image.mode in ("CMYK", "LAB"):
        return to_rgb(convert_to_srgb(_reduce(image, min_side), profile))
    plain = _to_reduced_rgb(image, min_side, min_long_side)
    if profile and image.mode not in ("L", "LA", "1", "I", "F") and needs_srgb_conversion(plain, profile):
        return convert_to_srgb(_reduce(plain, min_side), profile)
    return plain


def _to_reduced_rgb(image: Image.Image, min_side: int | None, min_long_side: int) -> Image.Image:
    """Return RGB; a large picture, of which no more is needed, is made smaller as it is converted."""
    factor = (
        1
        if min_side is None
        else min(min(image.size) // min_side, max(image.size) // max(min_side, min_long_side))
    )
    if factor <= 1 or image.width * image.height <= LARGE_IMAGE_PIXELS:
        return to_rgb(image)
    span = _value_range(image) if _is_high_bit_depth(image) else None
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    step = factor * max(1, BAND_PIXELS // (factor * image.width))
    for top in range(0, image.height, step):
        band = image.crop((0, top, image.width, min(top + step, image.height)))
        small.paste(to_rgb(band, span).reduce(factor), (0, top // factor))
    return small


def _reduce(image: Image.Image, min_side: int | None) -> Image.Image:
    """Return the picture at a whole fraction of its size at which both sides have `near` pixels."""
    factor = 1 if min_side is None else min(image.size) // min_side
    return image.reduce(factor) if factor > 1 else image


def to_rgb(image: Image.Image, value_range: tuple[float, float] | None = None) -> Image.Image:
    """Return RGB: transparency on white, CMYK and palettes converted, 16 bits and floats scaled to 8.

    Of what is scaled, `span` becomes black and white, else its own.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy() if image.readonly else image
    if _is_high_bit_depth(image):
        return _scale_to_8_bit(image, value_range or _value_range(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        page = Image.new("RGB", layer.size, WHITE)
        page.paste(layer, mask=layer.getchannel("A"))
        return page
    return image.convert("RGB")


def apply_exif_orientation(image: Image.Image, original: Image.Image) -> Image.Image:
    """Turn the picture as the original's EXIF says, if it says so readably."""
    try:
        orientation = original.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF: the pixels are still good
        return image
    turn = ORIENTATION_TRANSPOSES.get(orientation)
    return image if turn is None else image.transpose(turn)


def _is_high_bit_depth(image: Image.Image) -> bool:
    """Say whether the numbers of a picture are larger than bytes."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _row_bands(image: Image.Image) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the rows of a deep picture, a few at a time, each with the number of its first."""
    step = max(1, BAND_PIXELS // max(1, image.width))
    for top in range(0, image.height, step):
        band = image.crop((0, top, image.width, min(top + step, image.height)))
        yield top, np.asarray(band).astype(np.float32)


def _value_range(image: Image.Image) -> tuple[float, float]:
    """Return what is black and white of a deep picture: the range of its type, or its own."""
    least, most, finite = np.inf, -np.inf, image.mode != "F"
    for _, band in _row_bands(image):
        known = band if finite else band[np.isfinite(band)]
        least, most = min(least, known.min(initial=np.inf)), max(most, known.max(initial=-np.inf))
    if least > most:  # no number in it
        return 0.0, 1.0
    if image.mode == "F" or least < 0 or most > MAX_16_BIT or 255 < most < MAX_13_BIT:
        return float(least), float(most)
    return 0.0, 255.0 if image.mode == "I" and most <= 255 else MAX_16_BIT


def _scale_to_8_bit(image: Image.Image, value_range: tuple[float, float]) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits."""
    low, high = value_range
    grey = np.empty((image.height, image.width), np.uint8)
    for top, band in _row_bands(image):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (band - low) * (255.0 / max(high - low, 1e-12))
        grey[top : top + len(band)] = np.clip(np.nan_to_num(scaled), 0, 255)
    return Image.fromarray(grey).convert("RGB")
