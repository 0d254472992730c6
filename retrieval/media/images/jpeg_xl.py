"""Open JPEG XL (extra `jxl`). Its decoder has no size limit, so the size is read from the header first."""

from typing import BinaryIO

from PIL import Image

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.limits import check_pixel_limit

ORIENTATION_TAG = 0x0112
MAX_BOXES = 100  # before the codestream
SIDE_BITS = (9, 13, 18, 30)  # of an encoded side
DAMAGED_REASON = "damaged: it begins as JPEG XL but is not a valid image"
ASPECT_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def open_jxl(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Return a decoded image; raises MediaError, and ExtraMissing without the decoder."""
    width, height = read_size(file)
    check_pixel_limit(width, height, max_pixels)
    try:
        from pillow_jxl.JpegXLImagePlugin import JXLImageFile
    except ImportError as error:
        raise ExtraMissing("JPEG XL", "jxl") from error
    image: Image.Image = JXLImageFile(file)
    if not getattr(image, "jpeg", False) and "exif" in image.info:
        _reset_orientation(image)
    return image


def read_size(file: BinaryIO) -> tuple[int, int]:
    """Return width and height from the SizeHeader (ISO 18181-1); raises MediaError."""
    bits = int.from_bytes(_read_codestream(file), "little") >> 16  # after the signature

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
    """Return the first bytes of the codestream, which may be in a box; the file is rewound."""
    start = file.read(12)
    at = 0
    if start.startswith(b"\0\0\0\x0cJXL "):
        for _ in range(MAX_BOXES):
            file.seek(at)
            head = file.read(16)
            size, name, header_size = int.from_bytes(head[:4]), head[4:8], 8
            if size == 1:
                size, header_size = int.from_bytes(head[8:16]), 16
            if name in (b"jxlc", b"jxlp"):
                at += header_size + 4 * (name == b"jxlp")
                break
            if size < header_size:
                raise MediaError(DAMAGED_REASON)
            at += size
    file.seek(at)
    data = file.read(16)
    file.seek(0)
    if not data.startswith(b"\xff\x0a") or len(data) < 8:
        raise MediaError(DAMAGED_REASON)
    return data


def _reset_orientation(image: Image.Image) -> None:
    """Set the EXIF orientation to upright, because the decoder has turned the image."""
    try:
        exif = image.getexif()
        if exif.get(ORIENTATION_TAG, 1) != 1:
            exif[ORIENTATION_TAG] = 1
            image.info["exif"] = exif.tobytes()
    except Exception:  # invalid EXIF has no orientation
        image.info.pop("exif", None)
