"""Pixel conversions: orientation, transparency, 16-bit and float scaling."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image

from retrieval.media.images.color import convert_to_srgb, needs_srgb_conversion
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_8_BIT, MAX_16_BIT = 255.0, 65_535.0
MAX_13_BIT = 8_192  # 12 and 13 bit images in 16 bits would be too dark
WHITE = (255, 255, 255)
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0  # a tag of TIFF, and its value

ORIENTATION_TRANSPOSES = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_reduced_srgb(
    image: Image.Image, min_side: int | None, min_long_side: int, limits: DecodeLimits = DEFAULT_LIMITS
) -> Image.Image:
    """Return an image in sRGB, reduced as far as the minimum sides permit before it is converted."""
    profile = image.info.get("icc_profile")
    if image.mode in ("CMYK", "LAB"):
        return to_rgb(convert_to_srgb(_reduce(image, min_side), profile))
    rgb = _to_reduced_rgb(image, min_side, min_long_side, limits)
    if profile and image.mode not in ("L", "LA", "1", "I", "F") and needs_srgb_conversion(rgb, profile):
        return convert_to_srgb(_reduce(rgb, min_side), profile)
    return rgb


def _to_reduced_rgb(
    image: Image.Image, min_side: int | None, min_long_side: int, limits: DecodeLimits
) -> Image.Image:
    """Return an image as RGB; a large image is converted and reduced in bands, which saves memory."""
    factor = (
        1
        if min_side is None
        else min(min(image.size) // min_side, max(image.size) // max(min_side, min_long_side))
    )
    if factor <= 1 or image.width * image.height <= limits.large_image_pixels:
        return to_rgb(image, limits=limits)
    value_range = _value_range(image, limits.band_pixels) if _is_high_bit_depth(image) else None
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    step = factor * max(1, limits.band_pixels // (factor * image.width))
    for top in range(0, image.height, step):
        band = image.crop((0, top, image.width, min(top + step, image.height)))
        small.paste(to_rgb(band, value_range, limits).reduce(factor), (0, top // factor))
    return small


def _reduce(image: Image.Image, min_side: int | None) -> Image.Image:
    """Return an image reduced by an integer factor; both sides keep at least `min_side` pixels."""
    factor = 1 if min_side is None else min(image.size) // min_side
    return image.reduce(factor) if factor > 1 else image


def to_rgb(
    image: Image.Image,
    value_range: tuple[float, float] | None = None,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> Image.Image:
    """Return an image as RGB: transparency on white, and 16 bit and float values scaled to 8 bits.

    The limits of `value_range` become black and white; the default is that of the image.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy() if image.readonly else image
    if _is_high_bit_depth(image):
        value_range = value_range or _value_range(image, limits.band_pixels)
        return _scale_to_8_bit(image, value_range, limits.band_pixels)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        background = Image.new("RGB", rgba.size, WHITE)
        background.paste(rgba, mask=rgba.getchannel("A"))
        return background
    return image.convert("RGB")


def apply_exif_orientation(image: Image.Image, original: Image.Image) -> Image.Image:
    """Return an image turned upright by the EXIF of the original; unchanged if that is missing or invalid."""
    try:
        orientation = original.getexif().get(0x0112, 1)
    except Exception:  # Pillow raises various errors for invalid EXIF
        return image
    transpose = ORIENTATION_TRANSPOSES.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def _is_high_bit_depth(image: Image.Image) -> bool:
    """Return True if an image has more than 8 bits per channel."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _row_bands(image: Image.Image, band_pixels: int) -> "Iterator[tuple[int, NDArray[np.float32]]]":
    """Yield the rows of an image in bands, each with the number of its first row."""
    import numpy as np  # late: few images have more than 8 bits per channel

    step = max(1, band_pixels // max(1, image.width))
    for top in range(0, image.height, step):
        band = image.crop((0, top, image.width, min(top + step, image.height)))
        yield top, np.asarray(band).astype(np.float32)


def _value_range(image: Image.Image, band_pixels: int) -> tuple[float, float]:
    """Return the values of black and white: the range of the type, or that of the image.

    White is below black in a TIFF that declares this: Pillow inverts only 8 bits per channel.
    """
    low, high = _min_and_max(image, band_pixels)
    is_white_zero = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO
    return (high, low) if is_white_zero else (low, high)


def _min_and_max(image: Image.Image, band_pixels: int) -> tuple[float, float]:
    """Return the values between which an image is scaled; the first is the smaller one."""
    import numpy as np

    low, high, is_integer = np.inf, -np.inf, image.mode != "F"
    for _, band in _row_bands(image, band_pixels):
        values = band if is_integer else band[np.isfinite(band)]
        low, high = min(low, values.min(initial=np.inf)), max(high, values.max(initial=-np.inf))
    if low > high:  # no finite value
        return 0.0, 1.0
    if image.mode == "F" or low < 0 or high > MAX_16_BIT or MAX_8_BIT < high < MAX_13_BIT:
        return float(low), float(high)
    return 0.0, MAX_8_BIT if high <= MAX_8_BIT else MAX_16_BIT  # programs also write 8 bits in 16


def _scale_to_8_bit(image: Image.Image, value_range: tuple[float, float], band_pixels: int) -> Image.Image:
    """Return a 16 bit, 32 bit or float grayscale image as RGB."""
    import numpy as np

    black, white = value_range
    gray = np.empty((image.height, image.width), np.uint8)
    for top, band in _row_bands(image, band_pixels):
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (band - black) * (255.0 / ((white - black) or 1e-12))
        gray[top : top + len(band)] = np.clip(np.nan_to_num(scaled), 0, 255)
    return Image.fromarray(gray).convert("RGB")
