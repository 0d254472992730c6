"""Decode TIFFs with fax compression (CCITT) so that the rows that damage takes are known.

libtiff reports success for a strip whose data ends early and leaves the memory of its last rows as it was,
so their pixels would be chance. Here each strip follows one with a pattern that no image has. libtiff uses
the same memory for both, and rows that still have the pattern were not decoded.
"""

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 259, 262, 266
STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTE_COUNTS = 273, 278, 279
T4_OPTIONS, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS = 292, 322, 323, 324, 325
BITS_PER_SAMPLE, SAMPLES_PER_PIXEL = 258, 277
COMPRESSION_NAMES = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
GRAY = 128
PATTERN_WIDTH = 64  # pixels, of stripes; the rest is of one color
PIXELS_AT_A_TIME = 16_000_000  # of strips and patterns, unless one strip is larger
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class FaxImage(NamedTuple):
    """A decoded image in mode L, and which rows were decoded completely, (height,)."""

    pixels: NDArray[np.uint8]  # (height, width)
    is_decoded: NDArray[np.bool_]


class _Layout(NamedTuple):
    """The strips or tiles of an image."""

    width: int  # of a strip or tile
    rows: int
    columns: int  # tiles side by side
    data_ranges: list[tuple[int, int]]  # offset and number of bytes of each


def is_fax(image: Image.Image) -> bool:
    """Return True if the current page of an open TIFF has fax compression."""
    tags: Any = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and image.mode == "1" and tags.get(COMPRESSION) in COMPRESSION_NAMES


def decode_fax(image: Image.Image, file: BinaryIO) -> FaxImage:
    """Decode the current page of a TIFF with fax compression; rows that are missing are gray."""
    tags: Any = getattr(image, "tag_v2", {})
    layout, height, width = _read_layout(tags), int(tags[HEIGHT]), int(tags[WIDTH])
    count = len(layout.data_ranges)
    grid_rows = max(-(-height // layout.rows), -(-count // layout.columns))
    pixels = np.full((grid_rows * layout.rows, layout.columns * layout.width), GRAY, np.uint8)
    is_decoded = np.ones(len(pixels), bool)
    is_decoded[-(-count // layout.columns) * layout.rows :] = False
    step = max(1, PIXELS_AT_A_TIME // (2 * layout.width * layout.rows))
    full_count = count if TILE_WIDTH in tags else min(count, height // layout.rows)
    starts = [*range(0, full_count, step), *range(full_count, count)]  # the last strip may be shorter
    for first, end in zip(starts, [*starts[1:], count], strict=True):
        rows = layout.rows if first < full_count else height % layout.rows
        blocks = [_read_range(file, part) for part in layout.data_ranges[first:end]]
        decoded = _decode_blocks(blocks, tags, layout._replace(rows=rows))
        for number, (block, is_known) in enumerate(decoded, start=first):
            row, column = divmod(number, layout.columns)
            top, left = row * layout.rows, column * layout.width
            pixels[top : top + rows, left : left + layout.width][is_known] = block[is_known]
            is_decoded[top : top + rows] &= is_known
    return FaxImage(pixels[:height, :width], is_decoded[:height])


def _read_layout(tags: Any) -> _Layout:
    width, height = int(tags[WIDTH]), int(tags[HEIGHT])
    if TILE_WIDTH in tags:
        tile_width, tile_rows = int(tags[TILE_WIDTH]), int(tags[TILE_LENGTH])
        columns, rows = -(-width // tile_width), -(-height // tile_rows)
        ranges = list(zip(tags[TILE_OFFSETS], tags[TILE_BYTE_COUNTS], strict=False))[: columns * rows]
        return _Layout(tile_width, tile_rows, columns, ranges)
    strip_rows = max(1, min(int(tags.get(ROWS_PER_STRIP, height)), height))
    ranges = list(zip(tags[STRIP_OFFSETS], tags[STRIP_BYTE_COUNTS], strict=False))
    return _Layout(width, strip_rows, 1, ranges[: -(-height // strip_rows)])


def _read_range(file: BinaryIO, data_range: tuple[int, int]) -> bytes:
    file.seek(data_range[0])
    return file.read(data_range[1])


def _decode_blocks(
    blocks: Sequence[bytes], tags: Any, layout: _Layout
) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Return the pixels of strips or tiles, (rows, width), and which of their rows are decoded, (rows,)."""
    try:
        with Image.open(BytesIO(_interleaved_tiff(blocks, tags, layout)), formats=("TIFF",)) as image:
            bits = np.array(image).reshape(len(blocks), 2, layout.rows, layout.width)
    except (OSError, SyntaxError, ValueError):
        if len(blocks) > 1:
            return [result for block in blocks for result in _decode_blocks([block], tags, layout)]
        nothing = np.zeros((layout.rows, layout.width), np.uint8)
        return [(nothing, np.zeros(layout.rows, bool))]
    return [
        (np.where(block, 255, 0).astype(np.uint8), (block != pattern).any(axis=1)) for pattern, block in bits
    ]


def _interleaved_tiff(blocks: Sequence[bytes], tags: Any, layout: _Layout) -> bytes:
    """Return a TIFF in which each block is a strip that follows a strip with the pattern."""
    pattern = _encode_pattern(layout.width, layout.rows, tags)
    count = 2 * len(blocks)
    entries = {
        WIDTH: [layout.width],
        HEIGHT: [count * layout.rows],
        BITS_PER_SAMPLE: [1],
        COMPRESSION: [tags[COMPRESSION]],
        PHOTOMETRIC: [tags.get(PHOTOMETRIC, 0)],
        FILL_ORDER: [tags.get(FILL_ORDER, 1)],
        STRIP_OFFSETS: [0] * count,
        SAMPLES_PER_PIXEL: [1],
        ROWS_PER_STRIP: [layout.rows],
        STRIP_BYTE_COUNTS: [size for block in blocks for size in (len(pattern), len(block))],
        T4_OPTIONS: [tags.get(T4_OPTIONS, 0)],
    }
    directory_end = 8 + 2 + 12 * len(entries) + 4
    values_end = directory_end + 2 * 4 * count
    offset, offsets = values_end + len(pattern), list[int]()
    for block in blocks:
        offsets += (values_end, offset)
        offset += len(block)
    entries[STRIP_OFFSETS] = offsets
    directory, values = struct.pack("<H", len(entries)), b""
    for tag, numbers in entries.items():
        encoded = struct.pack(f"<{len(numbers)}L", *numbers)
        if len(numbers) > 1:
            values, encoded = values + encoded, struct.pack("<L", directory_end + len(values))
        directory += struct.pack("<HHL", tag, 4, len(numbers)) + encoded
    start = b"II*\0" + struct.pack("<L", 8) + directory + bytes(4) + values
    return b"".join((start, pattern, *blocks))


def _encode_pattern(width: int, rows: int, tags: Any) -> bytes:
    """Return a strip of short vertical stripes, one pixel wide, in the compression of an image."""
    stripes = np.zeros((rows, width), bool)
    stripes[:, :PATTERN_WIDTH:2] = True
    file = BytesIO()
    options = {T4_OPTIONS: int(tags[T4_OPTIONS])} if T4_OPTIONS in tags else {}
    name = COMPRESSION_NAMES[tags[COMPRESSION]]
    Image.fromarray(stripes).save(file, "TIFF", compression=name, strip_size=1 << 31, tiffinfo=options)
    with Image.open(file, formats=("TIFF",)) as encoded:
        tags_of_pattern: Any = getattr(encoded, "tag_v2", {})
        offset, size = (tags_of_pattern[tag][0] for tag in (STRIP_OFFSETS, STRIP_BYTE_COUNTS))
    data = file.getvalue()[offset : offset + size]
    return data.translate(REVERSED_BITS) if tags.get(FILL_ORDER, 1) == 2 else data
