"""Open camera raw files: their largest JPEG preview, or the developed sensor data (extra `raw`).

Most raw formats are TIFF, or similar to it, with several images in directories: thumbnails, sensor data and
JPEG previews. All reads are limited.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from typing import BinaryIO, NamedTuple

from PIL import Image

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.images.jpeg import open_jpeg
from retrieval.media.images.signatures import RAW_SIGNATURES, SIGNATURES
from retrieval.media.limits import check_pixel_limit

MIN_PREVIEW_SIDE = 512  # pixels of the longer side; smaller previews are worse than developed data
MAX_DIRECTORIES, MAX_ENTRIES, MAX_VALUES = 40, 500, 64  # per file, directory and entry
MAX_PREVIEW_BYTES = 100_000_000
MAX_SCANNED_BYTES = 64_000_000  # searched for JPEG data if no directory refers to a preview
MAX_CANDIDATES = 60  # JPEG previews
MAX_EXIF_BYTES = 1_000_000  # from the start of the file
MAX_XMP_BYTES = 4_000_000
MAX_RAW_BYTES = 500_000_000  # of a file that is developed

COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS, STRIP_BYTE_COUNTS = 0x0103, 0x0106, 0x0111, 0x0117
JPEG_OFFSET, JPEG_LENGTH = 0x0201, 0x0202
JPG_FROM_RAW = 0x002E  # of Panasonic
SUB_IFDS, EXIF_IFD, DNG_VERSION, XMP = 0x014A, 0x8769, 0xC612, 0x02BC
DATA_TAGS = (JPG_FROM_RAW, XMP)  # whose value is data: its offset and length are read
RAW_PHOTOMETRICS = (32803, 34892)  # color filter array, linear raw
RAW_COMPRESSIONS = (
    32767,
    32769,
    32770,
    34713,
    65000,
    65535,
)  # Sony, Samsung, Nikon, Kodak, Pentax
VALUE_SIZES = {1: 1, 3: 2, 4: 4, 7: 1, 13: 4}  # bytes, by TIFF type

IfdEntries = dict[int, tuple[int, ...]]


class Preview(NamedTuple):
    """The size of a JPEG preview in pixels, and its position in the file."""

    width: int
    height: int
    offset: int
    length: int


def open_raw(file: BinaryIO, max_pixels: int) -> Image.Image | None:
    """Return the largest preview, or the developed image; None for a TIFF that is not a raw file.

    The image gets the XMP of the raw file and, unless it has its own, the EXIF. Raises MediaError, and
    ExtraMissing if there is no preview and rawpy is not installed.
    """
    previews = find_previews(file)
    if previews is None:
        return None
    best = max(previews, key=lambda each: each.width * each.height, default=None)
    if best is None or max(best.width, best.height) < MIN_PREVIEW_SIDE:
        if find_spec("rawpy") is not None:
            try:
                return _develop(file, max_pixels)
            except MediaError:
                file.seek(0)
                if best is None and file.read(4) in SIGNATURES["TIFF"]:  # Pillow may read another image in it
                    return None
                if best is None:
                    raise
        elif best is None:
            raise ExtraMissing("A raw file without a preview", "raw")
    assert best is not None
    file.seek(best.offset)
    image = open_jpeg(BytesIO(file.read(best.length)))
    return _add_metadata(image, file)


def find_previews(file: BinaryIO) -> list[Preview] | None:
    """Return the complete JPEG previews of a raw file; None for a TIFF that is not a raw file."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(100)
    if head.startswith(b"FUJIFILMCCD-RAW"):
        locations = [(int.from_bytes(head[84:88]), int.from_bytes(head[88:92]))]
    elif head[4:8] == b"ftyp":  # CR3 has boxes instead of directories, and is searched
        locations = []
    elif head[2:4] in (b"+\0", b"\0+"):  # BigTIFF, which cameras do not write
        return None
    else:
        directories = list(_read_directories(file, head, size))
        if (
            not head.startswith(RAW_SIGNATURES)
            and head[8:10] != b"CR"
            and not any(map(_is_raw_directory, directories))
        ):
            return None
        locations = [location for entries in directories for location in _jpeg_locations(entries)]
    complete = [(at, length) for at, length in locations if 0 < at < at + length <= size]
    candidates = (_read_preview(file, at, length) for at, length in complete[:MAX_CANDIDATES])
    previews = [preview for preview in candidates if preview is not None]
    if any(max(preview.width, preview.height) >= MIN_PREVIEW_SIDE for preview in previews):
        return previews
    return previews + list(_scan_for_jpegs(file, size))


def _read_directories(file: BinaryIO, header: bytes, size: int) -> Iterator[IfdEntries]:
    """Yield the directories of a TIFF: the chain of directories, their sub-directories and EXIF."""
    little = header.startswith(b"II")
    pending, seen = [int.from_bytes(header[4:8], "little" if little else "big")], set[int]()
    while pending and len(seen) < MAX_DIRECTORIES:
        at = pending.pop(0)
        if at in seen or not 0 < at < size:
            continue
        seen.add(at)
        entries, next_offset = _read_directory(file, at, little)
        yield entries
        pending += [*entries.get(SUB_IFDS, ()), *entries.get(EXIF_IFD, ())[:1], next_offset]


def _read_directory(file: BinaryIO, offset: int, little_endian: bool) -> tuple[IfdEntries, int]:
    """Return the numeric values of a directory by tag, and the offset of the next directory."""

    def number(data: bytes) -> int:
        return int.from_bytes(data, "little" if little_endian else "big")

    file.seek(offset)
    count = min(number(file.read(2)), MAX_ENTRIES)
    rows = file.read(12 * count + 4)
    entries: IfdEntries = {}
    for row in range(0, min(12 * count, len(rows) - 11), 12):
        tag, kind = number(rows[row : row + 2]), number(rows[row + 2 : row + 4])
        value_count, inline = number(rows[row + 4 : row + 8]), rows[row + 8 : row + 12]
        size = VALUE_SIZES.get(kind, 0)
        if tag in DATA_TAGS:
            entries[tag] = (number(inline), value_count)
        elif size:
            value_bytes = min(value_count, MAX_VALUES) * size
            if value_bytes > 4:
                file.seek(number(inline))
                inline = file.read(value_bytes)
            entries[tag] = tuple(number(inline[n : n + size]) for n in range(0, value_bytes, size))
    return entries, number(rows[12 * count : 12 * count + 4])


def _is_raw_directory(entries: IfdEntries) -> bool:
    """Return True if a directory is of a DNG, or describes sensor data."""
    if DNG_VERSION in entries or set(entries.get(PHOTOMETRIC, ())) & set(RAW_PHOTOMETRICS):
        return True
    return bool(set(entries.get(COMPRESSION, ())) & set(RAW_COMPRESSIONS))


def _jpeg_locations(entries: IfdEntries) -> Iterator[tuple[int, int]]:
    """Yield the offset and length of each JPEG of a directory."""
    if JPG_FROM_RAW in entries:
        at, length = entries[JPG_FROM_RAW]
        yield at, length
    for at, length in zip(entries.get(JPEG_OFFSET, ()), entries.get(JPEG_LENGTH, ()), strict=False):
        yield at, length
    if entries.get(COMPRESSION, (1,))[:1] in ((6,), (7,)) and len(entries.get(STRIP_OFFSETS, ())) == 1:
        yield entries[STRIP_OFFSETS][0], entries.get(STRIP_BYTE_COUNTS, (0,))[0]


def _scan_for_jpegs(file: BinaryIO, size: int) -> Iterator[Preview]:
    """Yield the JPEGs anywhere in the file; their decoder finds their ends."""
    file.seek(0)
    data = file.read(MAX_SCANNED_BYTES)
    at, starts, end = data.find(b"\xff\xd8\xff"), list[int](), data.rfind(b"\xff\xd9")
    while 0 <= at < end and len(starts) < MAX_CANDIDATES:  # after the last end, a JPEG is truncated
        starts.append(at)
        at = data.find(b"\xff\xd8\xff", at + 1)
    for at in starts:
        if preview := _read_preview(file, at, min(size - at, MAX_PREVIEW_BYTES)):
            yield preview


def _read_preview(file: BinaryIO, offset: int, length: int) -> Preview | None:
    """Return the size of a JPEG; None for lossless JPEG, the encoding of sensor data."""
    file.seek(offset)
    data = file.read(min(length, 400_000))
    if not data.startswith(b"\xff\xd8\xff") or length > MAX_PREVIEW_BYTES:
        return None
    step = 2
    while step + 9 < len(data) and data[step] == 0xFF:
        marker = data[step + 1]
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = (int.from_bytes(data[n : n + 2]) for n in (step + 5, step + 7))
            return (
                Preview(width, height, offset, length) if width and height and data[step + 4] == 8 else None
            )
        if marker in (0xC3, 0xD9, 0xDA):
            return None
        step += 1 if marker == 0xFF else 2 + int.from_bytes(data[step + 2 : step + 4])
    return None


def _develop(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Return the sensor data developed at half size, not turned upright."""
    import rawpy

    if file.seek(0, 2) > MAX_RAW_BYTES:
        raise MediaError(f"a raw file of more than the limit of {MAX_RAW_BYTES:,} bytes")
    file.seek(0)
    try:
        with rawpy.imread(file) as raw:
            width, height = raw.sizes.raw_width, raw.sizes.raw_height
            check_pixel_limit(width, height, max_pixels)
            pixels = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8, user_flip=0)
    except rawpy.LibRawError as error:
        message = error.args[0] if error.args else ""
        raise MediaError(f"damaged: {message.decode() if isinstance(message, bytes) else message}") from error
    return _add_metadata(Image.fromarray(pixels), file)


def _add_metadata(image: Image.Image, file: BinaryIO) -> Image.Image:
    """Add the XMP of the raw file to an image, and the EXIF, whose offsets count from the start of the file.

    Programs write ratings, keywords and corrections into the XMP, and leave those of the preview.
    """
    file.seek(0)
    head = file.read(MAX_EXIF_BYTES)
    if head[4:8] == b"ftyp":  # CR3 has its directories in boxes
        head = head[head.find(b"CMT1") + 4 :] if b"CMT1" in head else b""
    elif head.startswith((b"II", b"MM")):
        if packet := _read_xmp(file, head):
            image.info["xmp"] = packet
        if head.startswith(RAW_SIGNATURES):
            head = (b"MM\0*" if head.startswith(b"MM") else b"II*\0") + head[4:]
    if "exif" not in image.info and head.startswith((b"II*\0", b"MM\0*")):
        image.info["exif"] = b"Exif\0\0" + head
    return image


def _read_xmp(file: BinaryIO, header: bytes) -> bytes:
    """Return the XMP packet of the first directory; empty if it has none."""
    little = header.startswith(b"II")
    offset = int.from_bytes(header[4:8], "little" if little else "big")
    entries, _ = _read_directory(file, offset, little)
    at, length = entries.get(XMP, (0, 0))
    file.seek(at)
    return file.read(length) if at and length <= MAX_XMP_BYTES else b""
