"""Open JPEG files, also those of more pixels than Pillow allows: cameras of phones have 200 megapixels.

The decoder reduces a JPEG of one scan while it reads it, and never has all of its pixels in memory.
"""

from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import jpeg_factory

from retrieval.media.images.jpeg_scans import check_jpeg_scans, has_one_scan
from retrieval.media.limits import DecodeLimits, check_pixel_limit

JPEG_FORMATS = ("JPEG", "MPO")  # of Pillow
MAX_REDUCTION = 8  # of both sides, by the decoder


def open_jpeg(file: BinaryIO) -> Image.Image:
    """Open a JPEG, which `check_jpeg` has to check: this is `Image.open` without its limit of pixels."""
    file.seek(0)
    try:
        return jpeg_factory(file)
    except SyntaxError as error:
        raise UnidentifiedImageError("cannot identify image file") from error


def check_jpeg(file: BinaryIO, width: int, height: int, limits: DecodeLimits) -> None:
    """Raise MediaError if a JPEG has too many pixels or scans. The position of the file does not change."""
    is_reducible = limits.max_jpeg_pixels <= MAX_REDUCTION**2 * limits.max_image_pixels and has_one_scan(file)
    check_pixel_limit(width, height, limits.max_jpeg_pixels if is_reducible else limits.max_image_pixels)
    check_jpeg_scans(file, width * height, limits)


def draft_size(
    image: Image.Image, min_side: int | None, min_long_side: int, max_pixels: int
) -> tuple[int, int] | None:
    """Return the least size at which `Image.draft` may decode an image, or None.

    Both sides keep `min_side` pixels and the longer one `min_long_side`, if that is within `max_pixels`.
    """
    factor = 1
    while image.width * image.height > max_pixels * factor**2:  # a decoder reduces by powers of two
        factor *= 2
    largest = (image.width // factor, image.height // factor)
    if min_side is None:
        return largest if factor > 1 else None
    short, long = min_side, max(min_side, min_long_side)
    width, height = (long, short) if image.width > image.height else (short, long)
    return min(width, largest[0]), min(height, largest[1])
