"""Open JPEG XL (extra `jxl`): its decoder unpacks the whole picture at once, so its size is read before."""

from typing import BinaryIO

from PIL import Image

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.limits import check_pixel_limit

ORIENTATION_TAG = 0x0112
MAX_BOXES = 100  # looked at before the picture
SIDE_BITS = (9, 13, 18, 30)  # bits that a side may be written in
ASPECT_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def open_jxl(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Return the picture, decoded; raises MediaError, and ExtraMissing without the decoder."""
    width, height = read_size(file)
    check_pixel_limit(width, height, max_pixels)
    try:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile
    except ImportError as error:
        raise ExtraMissing("JPEG XL", "jxl") from error
    picture: Image.Image = JXLImageFile(file)
    if not getattr(picture, "jpeg", False) and "exif" in picture.info:
        _reset_orientation(picture)
    return picture


def read_size(file: BinaryIO) -> tuple[int, int]:
    """Return width and height as the SizeHeader of ISO 18181-1 has them; raises MediaError without one."""
    bits = int.from_bytes(_read_codestream(file), "little") >> 16  # past its mark

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else 1 + take(SIDE_BITS[take(2)])

    height = side()
    ratio = take(3)
    return (
        (height * ASPECT_RATIOS[ratio][0] // ASPECT_RATIOS[ratio][1], height) if ratio else (side(), height)
    )


def _read_codestream(file: BinaryIO) -> bytes:
    """Return the first bytes of the picture itself, in boxes or bare; the file is at its begin again."""
    start = file.read(12)
    at = 0
    if start.startswith(b"\0\0\0\x0cJXL "):
        for _ in range(MAX_BOXES):
            file.seek(at)
            head = file.read(16)
            size, name, inner = int.from_bytes(head[:4]), head[4:8], 8
            if size == 1:
                size, inner = int.from_bytes(head[8:16]), 16
            if name in (b"jxlc", b"jxlp"):
                at += inner + 4 * (name == b"jxlp")
                break
            if size < inner:
                raise MediaError("damaged: it begins as JPEG XL and goes on as no picture")
            at += size
    file.seek(at)
    data = file.read(16)
    file.seek(0)
    if not data.startswith(b"\xff\x0a") or len(data) < 8:
        raise MediaError("damaged: it begins as JPEG XL and goes on as no picture")
    return data


def _reset_orientation(image: Image.Image) -> None:
    """Write into the EXIF that the picture stands upright, as its decoder has turned it."""
    try:
        exif = image.getexif()
        if exif.get(ORIENTATION_TAG, 1) != 1:
            exif[ORIENTATION_TAG] = 1
            image.info["exif"] = exif.tobytes()
    except Exception:  # broken EXIF says nothing of an orientation
        image.info.pop("exif", None)
