"""Read what there is of a picture that breaks off: the rows that were decoded, or its first passes.

Pillow can be told to pass over the end of a file, but for all threads and without a word on how much is
missing. Here the picture is grey before it is decoded, and what is grey after it is missing.
"""

from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.media.limits import check_pixel_limit

DAMAGE_KEY = "clew"  # what a picture's `info` holds of it: what is missing, for a person
MIN_ROW_SHARE = 0.25  # of the rows; less is no picture of what was there
MAX_FILE_BYTES = 100_000_000  # bytes of a file that is held
PARTIAL_FORMATS = {
    "MPO": "JPEG",
    **{name: name for name in ("JPEG", "PNG", "GIF", "BMP", "PPM", "TGA", "TIFF")},
}
GRAY_VALUES: dict[str, Any] = {
    "L": 128,
    "P": 128,
    "LA": (128, 255),
    "RGB": (128, 128, 128),
    "YCbCr": (128, 128, 128),
    "RGBA": (128, 128, 128, 255),
    "CMYK": (0, 0, 0, 127),
    "I;16": 32_768,
}
BAND_ROWS = 64  # rows looked at together
JPEG_EOI, JPEG_SOS, JPEG_SOF2 = b"\xff\xd9", b"\xff\xda", b"\xff\xc2"  # in a JPEG
VP8_START_CODE = b"\x9d\x01\x2a"  # in the head of VP8, before its size


def load_partial(image: Image.Image, draft_size: tuple[int, int] | None = None) -> Image.Image:
    """Return the picture with its pixels; where it breaks off, grey stands for what is missing.

    It was told of `draft`, if that is given. Its `info` has a NOTE then. Raises what its decoder does where
    too little is left.
    """
    file = getattr(image, "fp", None)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, IndexError):
        left = None
        if file is not None and image.format in PARTIAL_FORMATS and not getattr(image, "tell", int)():
            left = _decode_progressive(image, file, draft_size) or _decode_top_rows(image, file, draft_size)
        if left is None:
            raise
        image.info[DAMAGE_KEY] = left.info[DAMAGE_KEY]
        return left
    return image


def open_partial_webp(file: BinaryIO, max_pixels: int) -> Image.Image | None:
    """Return what is left of a WebP that its own decoder refuses; None where that is too little."""
    import av  # heavy: only for what is broken

    file.seek(0)
    data = file.read(MAX_FILE_BYTES)
    part = data.find(b"VP8 ")  # or that of the first frame, behind a profile
    start = part + 8
    if (
        part < 0 or data[start + 3 : start + 6] != VP8_START_CODE
    ):  # of the lossless kind no row is whole before the end
        return None
    width, height = (int.from_bytes(data[start + at : start + at + 2], "little") & 0x3FFF for at in (6, 8))
    check_pixel_limit(width, height, max_pixels)
    decoder: Any = av.CodecContext.create("vp8", "r")
    try:
        frames = [*decoder.decode(av.Packet(data[start:])), *decoder.decode(None)]
    except (av.FFmpegError, ValueError):
        return None
    if not frames:
        return None
    light = frames[0].to_ndarray(format="yuv420p")[:height]
    read = light.any(axis=1)  # no decoder writes a light of 0, which is what memory begins with
    pixels = frames[0].to_ndarray(format="rgb24")
    pixels[~read] = GRAY_VALUES["RGB"]
    return _with_damage_note(Image.fromarray(pixels), int(read.sum()))


def _decode_progressive(
    image: Image.Image, file: BinaryIO, draft_size: tuple[int, int] | None
) -> Image.Image | None:
    """Return a JPEG of many scans from those that are there; None of another, or if not even one is whole."""
    if not image.info.get("progressive"):
        return None
    file.seek(0)
    data = file.read(MAX_FILE_BYTES)
    if data.count(JPEG_SOS, max(0, data.find(JPEG_SOF2))) < 2:
        return None
    again: Image.Image = _reopen(BytesIO(data + JPEG_EOI), image, draft_size)
    try:
        again.load()
    except (OSError, SyntaxError, ValueError):
        return None
    again.info[DAMAGE_KEY] = "damaged: it breaks off, and is less sharp than it was"
    return again


def _decode_top_rows(
    image: Image.Image, file: BinaryIO, draft_size: tuple[int, int] | None
) -> Image.Image | None:
    """Return a picture with the rows that can be decoded; None where they are too few, or are not told."""
    if image.info.get("progressive") or image.info.get("interlace"):
        return None
    again = _reopen(file, image, draft_size)
    if again.mode not in GRAY_VALUES:
        return None
    again.im = Image.new(again.mode, again.size, GRAY_VALUES[again.mode]).im
    try:
        again.load()
    except (OSError, SyntaxError, ValueError, IndexError):
        again.tile = []
    again.load()  # the palette
    read = _decoded_rows(again)
    if again.mode == "P":  # in which no number is grey
        pixels = np.array(again.convert("RGB"))
        pixels[~read] = GRAY_VALUES["RGB"]
        return _with_damage_note(Image.fromarray(pixels), int(read.sum()))
    return _with_damage_note(again, int(read.sum()))


def _reopen(file: BinaryIO, image: Image.Image, draft_size: tuple[int, int] | None) -> Any:
    file.seek(0)
    again = Image.open(file, formats=(PARTIAL_FORMATS[image.format or ""],))
    if draft_size is not None:
        again.draft("RGB", draft_size)
    return again


def _decoded_rows(image: Image.Image) -> NDArray[np.bool_]:
    """Say of each row, (height,), whether it is not as grey as all was."""
    grey = np.asarray(Image.new(image.mode, (1, 1), GRAY_VALUES[image.mode]))[0, 0]
    read = np.zeros(image.height, bool)
    for top in range(0, image.height, BAND_ROWS):
        band = np.asarray(image.crop((0, top, image.width, min(top + BAND_ROWS, image.height))))
        read[top : top + len(band)] = (band != grey).reshape(len(band), -1).any(axis=1)
    return read


def _with_damage_note(image: Image.Image, row_count: int) -> Image.Image | None:
    """Give a picture its note; None where it has too few rows."""
    if row_count < MIN_ROW_SHARE * image.height:
        return None
    share = min(99, 100 * row_count // image.height)
    image.info[DAMAGE_KEY] = f"damaged: it breaks off, and {share} % of its rows are read"
    return image
