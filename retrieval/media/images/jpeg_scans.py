"""Limit the scans of a JPEG: each can take only bytes, and makes the decoder visit all coefficients again."""

import re
from typing import BinaryIO

from retrieval.errors import MediaError
from retrieval.media.limits import DecodeLimits

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA  # start and end of an image, start of a scan
PROGRESSIVE_FRAMES = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
SEQUENTIAL_FRAMES = frozenset((0xC0, 0xC1, 0xC3, 0xC5, 0xC7, 0xC9, 0xCB, 0xCD, 0xCF))
MARKER = re.compile(rb"\xff+([^\x00\x01\xd0-\xd7\xff])")  # a marker that the data of a scan cannot contain


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
