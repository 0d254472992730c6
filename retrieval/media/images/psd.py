"""Open Photoshop files, also with 16 bits per channel, and large documents (PSB).

Only the composite image that Photoshop stores for other programs is read, not the layers.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.errors import MediaError
from retrieval.media.limits import check_pixel_limit

COLOR_MODES = {1: ("L", 1), 3: ("RGB", 3), 4: ("CMYK", 4)}  # mode and channels, by number
RAW, PACKBITS = 0, 1
HEADER_BYTES = 26
INFO_RESOURCES = {1039: "icc_profile", 1058: "exif", 1060: "xmp"}  # resource -> key in `Image.info`


def open_psd(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Return an open or decoded image with its color profile, EXIF and XMP; raises MediaError."""
    image = _decode_psd(file, max_pixels)
    if image is None:
        file.seek(0)
        image = Image.open(file, formats=("PSD",))
    file.seek(HEADER_BYTES)
    _skip_section(file, 4)
    for key, data in _read_resources(file):
        image.info[key] = data
    return image


def _decode_psd(file: BinaryIO, max_pixels: int) -> Image.Image | None:
    """Return a decoded image; None if Pillow reads the file."""
    head = file.read(HEADER_BYTES)
    version, channels = int.from_bytes(head[4:6]), int.from_bytes(head[12:14])
    height, width = int.from_bytes(head[14:18]), int.from_bytes(head[18:22])
    depth, mode = int.from_bytes(head[22:24]), int.from_bytes(head[24:26])
    if len(head) < HEADER_BYTES or version not in (1, 2) or (version == 1 and depth in (1, 8)):
        return None
    check_pixel_limit(width, height, max_pixels)
    mode_name, needed_channels = COLOR_MODES.get(mode, ("", 0))
    if depth not in (8, 16) or not 0 < needed_channels <= channels or not width * height:
        raise MediaError(f"a Photoshop file that clew does not read ({depth} bits, mode {mode})")
    for length_bytes in (4, 4, 4 * version):  # palette, resources, layers
        _skip_section(file, length_bytes)
    planes = _read_channels(file, width * depth // 8, height, channels, needed_channels, version)
    image = Image.merge(mode_name, [Image.fromarray(plane[:, :: depth // 8].copy()) for plane in planes])
    if mode_name == "CMYK":  # Photoshop stores no ink as 255
        image = image.point(lambda value: 255 - value)
    return image


def _skip_section(file: BinaryIO, length_bytes: int) -> None:
    """Skip a section that begins with its length in `length_bytes` bytes."""
    file.seek(int.from_bytes(file.read(length_bytes)), 1)


def _read_resources(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Yield the keys and values in `Image.info` of the resources in the resource section."""
    section_size = int.from_bytes(file.read(4))
    end = file.tell() + section_size
    while file.tell() < end and file.read(4) == b"8BIM":
        kind, name = int.from_bytes(file.read(2)), file.read(1)[:1]
        file.seek(name[0] | 1 if name else 1, 1)  # the name with its length byte is padded to an even size
        size = int.from_bytes(file.read(4))
        key = INFO_RESOURCES.get(kind) if size <= end - file.tell() else None
        if key is None:
            file.seek(size, 1)
        else:
            yield key, (b"Exif\0\0" if key == "exif" else b"") + file.read(size)
        file.seek(size % 2, 1)


def _read_channels(
    file: BinaryIO, row_bytes: int, height: int, channels: int, needed_channels: int, version: int
) -> list[NDArray[np.uint8]]:
    """Return the channels that are needed, each of shape (height, row_bytes)."""
    packing = int.from_bytes(file.read(2))
    if packing == RAW:
        return [_to_plane(file.read(row_bytes * height), row_bytes, height) for _ in range(needed_channels)]
    if packing != PACKBITS:
        raise MediaError("a Photoshop file with a compression that clew does not read")
    size = 2 * version  # of the encoded length of a row
    table = file.read(size * height * channels)
    if len(table) < size * height * channels:
        raise MediaError("damaged: truncated before its image")
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
        raise MediaError("damaged: truncated before its image")
    return np.frombuffer(data, np.uint8).reshape(height, row_bytes)
