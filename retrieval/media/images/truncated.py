"""Read what there is of a picture that breaks off: the rows that were decoded, or its first passes.

Pillow can be told to pass over the end of a file, but for all threads and without a word on how much is
missing. Here the picture is grey before it is decoded, and what is grey after it is missing.
"""

from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.errors import MediaError

NOTE = "clew"  # what a picture's `info` holds of it: what is missing, for a person
LEAST = 0.25  # of the rows; less is no picture of what was there
MOST = 100_000_000  # bytes of a file that is held
FORMS = {"MPO": "JPEG", **{name: name for name in ("JPEG", "PNG", "GIF", "BMP", "PPM", "TGA", "TIFF")}}
GREYS: dict[str, Any] = {
    "L": 128,
    "P": 128,
    "LA": (128, 255),
    "RGB": (128, 128, 128),
    "YCbCr": (128, 128, 128),
    "RGBA": (128, 128, 128, 255),
    "CMYK": (0, 0, 0, 127),
    "I;16": 32_768,
}
BAND = 64  # rows looked at together
END, SCAN, PROGRESSIVE = b"\xff\xd9", b"\xff\xda", b"\xff\xc2"  # in a JPEG
KEY = b"\x9d\x01\x2a"  # in the head of VP8, before its size


def load(picture: Image.Image, draft: tuple[int, int] | None = None) -> Image.Image:
    """Return the picture with its pixels; where it breaks off, grey stands for what is missing.

    It was told of `draft`, if that is given. Its `info` has a NOTE then. Raises what its decoder does where
    too little is left.
    """
    file = getattr(picture, "fp", None)
    try:
        picture.load()
    except (OSError, SyntaxError, ValueError, IndexError):
        left = None
        if file is not None and picture.format in FORMS and not getattr(picture, "tell", int)():
            left = _blurred(picture, file, draft) or _upper(picture, file, draft)
        if left is None:
            raise
        picture.info[NOTE] = left.info[NOTE]
        return left
    return picture


def open_webp(file: BinaryIO, max_pixels: int) -> Image.Image | None:
    """Return what is left of a WebP that its own decoder refuses; None where that is too little."""
    import av  # heavy: only for what is broken

    file.seek(0)
    data = file.read(MOST)
    part = data.find(b"VP8 ")  # or that of the first frame, behind a profile
    start = part + 8
    if part < 0 or data[start + 3 : start + 6] != KEY:  # of the lossless kind no row is whole before the end
        return None
    width, height = (int.from_bytes(data[start + at : start + at + 2], "little") & 0x3FFF for at in (6, 8))
    if width * height > max_pixels:
        raise MediaError(f"{width} x {height} pixels, more than the limit of {max_pixels:,}")
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
    pixels[~read] = GREYS["RGB"]
    return _noted(Image.fromarray(pixels), int(read.sum()))


def _blurred(picture: Image.Image, file: BinaryIO, draft: tuple[int, int] | None) -> Image.Image | None:
    """Return a JPEG of many scans from those that are there; None of another, or if not even one is whole."""
    if not picture.info.get("progressive"):
        return None
    file.seek(0)
    data = file.read(MOST)
    if data.count(SCAN, max(0, data.find(PROGRESSIVE))) < 2:
        return None
    again: Image.Image = _again(BytesIO(data + END), picture, draft)
    try:
        again.load()
    except (OSError, SyntaxError, ValueError):
        return None
    again.info[NOTE] = "damaged: it breaks off, and is less sharp than it was"
    return again


def _upper(picture: Image.Image, file: BinaryIO, draft: tuple[int, int] | None) -> Image.Image | None:
    """Return a picture with the rows that can be decoded; None where they are too few, or are not told."""
    if picture.info.get("progressive") or picture.info.get("interlace"):
        return None
    again = _again(file, picture, draft)
    if again.mode not in GREYS:
        return None
    again.im = Image.new(again.mode, again.size, GREYS[again.mode]).im
    try:
        again.load()
    except (OSError, SyntaxError, ValueError, IndexError):
        again.tile = []
    again.load()  # the palette
    read = _rows(again)
    if again.mode == "P":  # in which no number is grey
        pixels = np.array(again.convert("RGB"))
        pixels[~read] = GREYS["RGB"]
        return _noted(Image.fromarray(pixels), int(read.sum()))
    return _noted(again, int(read.sum()))


def _again(file: BinaryIO, picture: Image.Image, draft: tuple[int, int] | None) -> Any:
    file.seek(0)
    again = Image.open(file, formats=(FORMS[picture.format or ""],))
    if draft is not None:
        again.draft("RGB", draft)
    return again


def _rows(picture: Image.Image) -> NDArray[np.bool_]:
    """Say of each row, (height,), whether it is not as grey as all was."""
    grey = np.asarray(Image.new(picture.mode, (1, 1), GREYS[picture.mode]))[0, 0]
    read = np.zeros(picture.height, bool)
    for top in range(0, picture.height, BAND):
        band = np.asarray(picture.crop((0, top, picture.width, min(top + BAND, picture.height))))
        read[top : top + len(band)] = (band != grey).reshape(len(band), -1).any(axis=1)
    return read


def _noted(picture: Image.Image, rows: int) -> Image.Image | None:
    """Give a picture its note; None where it has too few rows."""
    if rows < LEAST * picture.height:
        return None
    share = min(99, 100 * rows // picture.height)
    picture.info[NOTE] = f"damaged: it breaks off, and {share} % of its rows are read"
    return picture
