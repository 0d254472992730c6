"""Open JPEG files, also those of more pixels than Pillow allows, and limit their scans.

The decoder reduces a JPEG of one scan while it reads it, and never has all of its pixels in memory: phones
take 200 megapixels. Each further scan can take only bytes, and makes the decoder visit all coefficients.
"""

import re
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import jpeg_factory

from retrieval.errors import MediaError
from retrieval.media.limits import DecodeLimits, check_pixel_limit

JPEG_FORMATS = ("JPEG", "MPO")  # of Pillow
MAX_REDUCTION = 8  # of both sides, by the decoder
SOI, EOI, SOS = 0xD8, 0xD9, 0xDA  # start and end of an image, start of a scan
PROGRESSIVE_FRAMES = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
SEQUENTIAL_FRAMES = frozenset((0xC0, 0xC1, 0xC3, 0xC5, 0xC7, 0xC9, 0xCB, 0xCD, 0xCF))
MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])")  # a marker that the data of a scan cannot contain


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


def check_jpeg_scans(file: BinaryIO, pixels: int, limits: DecodeLimits) -> None:
    """Raise MediaError if a JPEG has more scans than its number of pixels permits.

    Of a file with one scan, as cameras write it, only the header is read. The position of the file does not
    change.
    """
    if has_one_scan(file):
        return
    position, max_scans = file.tell(), limits.max_jpeg_scans(pixels)
    try:
        if _exceeds(file, max_scans, limits.max_image_file_bytes):
            raise MediaError(f"more than the limit of {max_scans:,} scans for a JPEG of this size")
    finally:
        file.seek(position)


def has_one_scan(file: BinaryIO) -> bool:
    """Return True if the first scan has all components of a sequential image: the decoder reads no other.

    The position of the file does not change.
    """
    position = file.tell()
    try:
        return _has_one_scan(file)
    finally:
        file.seek(position)


def _has_one_scan(file: BinaryIO) -> bool:
    component_count, at = 0, 2
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[0] != 0xFF or head[1] in PROGRESSIVE_FRAMES:
            return False
        if head[1] in SEQUENTIAL_FRAMES:
            component_count = head[9]
        if head[1] == SOS:
            return head[4] == component_count
        at += 2 + int.from_bytes(head[2:4])


def _exceeds(file: BinaryIO, max_scans: int, max_bytes: int) -> bool:
    """Return True if a file has more scans before the end of the image."""
    file.seek(0)
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise MediaError(f"more than the limit of {max_bytes:,} bytes for a JPEG of several scans")
    if data.count(bytes((0xFF, SOS))) <= max_scans:
        return False
    scan_count, at = 0, 0
    while (match := MARKER.search(data, at)) is not None and match[1][0] != EOI:
        scan_count += match[1][0] == SOS
        if scan_count > max_scans:
            return True
        at = match.end()
        if match[1][0] != SOI:
            at += max(2, int.from_bytes(data[at : at + 2]))
    return False
