"""Pixel conversions: orientation, transparency, 16-bit and float scaling."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.media.images.color import convert, is_needed

LARGE = 40_000_000  # pixels; only one such picture is decoded at a time

BAND = 4_000_000  # pixels that are converted together

DEEP = 65_535.0  # the most that 16 bits hold

DIM = 8_192  # the most that is in a picture of 12 or 13 bits, which would be dark among 16

WHITE = (255, 255, 255)

TURNS = {  # EXIF orientation -> what sets it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _in_srgb(picture: Image.Image, near: int | None, longer: int) -> Image.Image:
    """Return RGB in the colours that screens show; what must be converted is first made smaller."""
    profile = picture.info.get("icc_profile")
    if picture.mode in ("CMYK", "LAB"):
        return to_rgb(convert(_smaller(picture, near), profile))
    plain = _in_bands(picture, near, longer)
    if profile and picture.mode not in ("L", "LA", "1", "I", "F") and is_needed(plain, profile):
        return convert(_smaller(plain, near), profile)
    return plain


def _in_bands(picture: Image.Image, near: int | None, longer: int) -> Image.Image:
    """Return RGB; a large picture, of which no more is needed, is made smaller as it is converted."""
    factor = 1 if near is None else min(min(picture.size) // near, max(picture.size) // max(near, longer))
    if factor <= 1 or picture.width * picture.height <= LARGE:
        return to_rgb(picture)
    span = _span(picture) if _is_deep(picture) else None
    small = Image.new("RGB", (-(-picture.width // factor), -(-picture.height // factor)))
    step = factor * max(1, BAND // (factor * picture.width))
    for top in range(0, picture.height, step):
        band = picture.crop((0, top, picture.width, min(top + step, picture.height)))
        small.paste(to_rgb(band, span).reduce(factor), (0, top // factor))
    return small


def _smaller(picture: Image.Image, near: int | None) -> Image.Image:
    """Return the picture at a whole fraction of its size at which both sides have `near` pixels."""
    factor = 1 if near is None else min(picture.size) // near
    return picture.reduce(factor) if factor > 1 else picture


def to_rgb(picture: Image.Image, span: tuple[float, float] | None = None) -> Image.Image:
    """Return RGB: transparency on white, CMYK and palettes converted, 16 bits and floats scaled to 8.

    Of what is scaled, `span` becomes black and white, else its own.
    """
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture.copy() if picture.readonly else picture
    if _is_deep(picture):
        return _from_deep(picture, span or _span(picture))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layer = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        page = Image.new("RGB", layer.size, WHITE)
        page.paste(layer, mask=layer.getchannel("A"))
        return page
    return picture.convert("RGB")


def upright(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Turn the picture as the original's EXIF says, if it says so readably."""
    try:
        orientation = original.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF: the pixels are still good
        return picture
    turn = TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _is_deep(picture: Image.Image) -> bool:
    """Say whether the numbers of a picture are larger than bytes."""
    return picture.mode in ("I", "F") or picture.mode.startswith("I;16")


def _bands(picture: Image.Image) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the rows of a deep picture, a few at a time, each with the number of its first."""
    step = max(1, BAND // max(1, picture.width))
    for top in range(0, picture.height, step):
        band = picture.crop((0, top, picture.width, min(top + step, picture.height)))
        yield top, np.asarray(band).astype(np.float32)


def _span(picture: Image.Image) -> tuple[float, float]:
    """Return what is black and white of a deep picture: the range of its type, or its own."""
    least, most, finite = np.inf, -np.inf, picture.mode != "F"
    for _, band in _bands(picture):
        known = band if finite else band[np.isfinite(band)]
        least, most = min(least, known.min(initial=np.inf)), max(most, known.max(initial=-np.inf))
    if least > most:  # no number in it
        return 0.0, 1.0
    if picture.mode == "F" or least < 0 or most > DEEP or 255 < most < DIM:
        return float(least), float(most)
    return 0.0, 255.0 if picture.mode == "I" and most <= 255 else DEEP


def _from_deep(picture: Image.Image, span: tuple[float, float]) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits."""
    low, high = span
    grey = np.empty((picture.height, picture.width), np.uint8)
    for top, band in _bands(picture):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (band - low) * (255.0 / max(high - low, 1e-12))
        grey[top : top + len(band)] = np.clip(np.nan_to_num(scaled), 0, 255)
    return Image.fromarray(grey).convert("RGB")
