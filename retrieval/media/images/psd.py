"""Open the Photoshop files that Pillow does not: those of 16 bits a channel, and the large kind (PSB).

Read is what Photoshop keeps beside the layers for others to see: the picture they make together.
"""

from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.errors import MediaError
from retrieval.media.limits import check_pixel_limit

COLOR_MODES = {1: ("L", 1), 3: ("RGB", 3), 4: ("CMYK", 4)}  # by their number in the file; and their channels
RAW, PACKBITS = 0, 1
ICC_PROFILE_RESOURCE = 1039  # among the resources


def open_psd(file: BinaryIO, max_pixels: int) -> Image.Image | None:
    """Return the picture, decoded; None where Pillow reads the file. Raises MediaError."""
    head = file.read(26)
    version, channels = int.from_bytes(head[4:6]), int.from_bytes(head[12:14])
    height, width = int.from_bytes(head[14:18]), int.from_bytes(head[18:22])
    depth, mode = int.from_bytes(head[22:24]), int.from_bytes(head[24:26])
    if len(head) < 26 or version not in (1, 2) or (version == 1 and depth in (1, 8)):
        return None
    check_pixel_limit(width, height, max_pixels)
    name, needed = COLOR_MODES.get(mode, ("", 0))
    if depth not in (8, 16) or not 0 < needed <= channels or not width * height:
        raise MediaError(f"a Photoshop file of a kind clew does not read ({depth} bits, mode {mode})")
    _skip_section(file, 4)
    profile = _read_icc_profile(file)
    _skip_section(file, 4 * version)
    planes = _read_channels(file, width * depth // 8, height, channels, needed, version)
    merged = Image.merge(name, [Image.fromarray(plane[:, :: depth // 8].copy()) for plane in planes])
    if name == "CMYK":  # in which no ink is the largest number
        merged = merged.point(lambda value: 255 - value)
    if profile:
        merged.info["icc_profile"] = profile
    return merged


def _skip_section(file: BinaryIO, length_bytes: int) -> None:
    """Pass over a section that begins with its length in so many bytes."""
    file.seek(int.from_bytes(file.read(length_bytes)), 1)


def _read_icc_profile(file: BinaryIO) -> bytes:
    """Return the colour profile among the resources, and pass over them."""
    left, profile = int.from_bytes(file.read(4)), b""
    end = file.tell() + left
    while file.tell() < end and file.read(4) == b"8BIM":
        kind, name = int.from_bytes(file.read(2)), file.read(1)[:1]
        file.seek(name[0] | 1 if name else 1, 1)  # name and its length together are even
        size = int.from_bytes(file.read(4))
        if kind == ICC_PROFILE_RESOURCE and size <= left:
            profile = file.read(size)
            break
        file.seek(size + size % 2, 1)
    file.seek(end)
    return profile


def _read_channels(
    file: BinaryIO, row_bytes: int, height: int, channels: int, needed_channels: int, version: int
) -> list[NDArray[np.uint8]]:
    """Return the bytes of the channels that are needed, each (height, row)."""
    packing = int.from_bytes(file.read(2))
    if packing == RAW:
        return [_to_plane(file.read(row_bytes * height), row_bytes, height) for _ in range(needed_channels)]
    if packing != PACKBITS:
        raise MediaError("a Photoshop file that is packed in a way clew does not read")
    size = 2 * version  # of the length of a packed row
    table = file.read(size * height * channels)
    if len(table) < size * height * channels:
        raise MediaError("damaged: it ends before its picture")
    lengths = np.frombuffer(table, f">u{size}").reshape(channels, height).sum(axis=1, dtype=np.int64)
    planes = []
    for length in lengths[:needed_channels].tolist():
        plane = Image.frombytes(
            "L", (row_bytes, height), file.read(min(length, 2 * row_bytes * height)), "packbits", "L"
        )
        planes.append(np.asarray(plane))
    return planes


def _to_plane(data: bytes, row_bytes: int, height: int) -> NDArray[np.uint8]:
    if len(data) < row_bytes * height:
        raise MediaError("damaged: it ends before its picture")
    return np.frombuffer(data, np.uint8).reshape(height, row_bytes)
