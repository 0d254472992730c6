"""Open a camera's raw file: the JPEG in it that the camera developed, else the raw data (extra `raw`).

Raw files of most makers are TIFF (or nearly) with several pictures in directories: small ones, the sensor's
data, and one JPEG or more. Everything that is read has a bound.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from io import BytesIO
from typing import BinaryIO, NamedTuple

from PIL import Image

from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.images.signatures import MARKS, RAW_MARKS

SMALL = 512  # pixels of the longer side: where no preview has so many, the raw data are better
DIRECTORIES, ENTRIES, VALUES = 40, 500, 64  # read of one file, of one directory, of one entry
PREVIEW = 100_000_000  # bytes
SCANNED = 64_000_000  # bytes looked through for a JPEG where no directory tells of one
CANDIDATES = 60  # JPEGs looked at
HEAD = 1_000_000  # bytes in which EXIF is
MAX_BYTES = 500_000_000  # of a file that is developed

COMPRESSION, PHOTOMETRIC, STRIPS, LENGTHS = 0x0103, 0x0106, 0x0111, 0x0117
JPEG_AT, JPEG_LENGTH, JPEG_WHOLE = 0x0201, 0x0202, 0x002E
SUBDIRECTORIES, EXIF, DNG = 0x014A, 0x8769, 0xC612
MOSAIC = (32803, 34892)  # how the sensor's own data are said to be coloured
PACKED = (32767, 32769, 32770, 34713, 65000, 65535)  # and how Sony, Samsung, Nikon, Kodak, Pentax pack them
SIZES = {1: 1, 3: 2, 4: 4, 7: 1, 13: 4}  # bytes of a value, by the types that matter here

Entries = dict[int, tuple[int, ...]]


class Preview(NamedTuple):
    """A JPEG in a raw file, and its size in pixels."""

    width: int
    height: int
    at: int
    length: int


def open_raw(file: BinaryIO, max_pixels: int) -> Image.Image | None:
    """Return the largest preview, open, or the picture developed; None of a TIFF that is no raw file.

    Its EXIF is that of the raw file where the preview has none. Raises MediaError, and ExtraMissing where
    there is no preview and nothing to develop it with.
    """
    previews = find_previews(file)
    if previews is None:
        return None
    best = max(previews, key=lambda each: each.width * each.height, default=None)
    if best is None or max(best.width, best.height) < SMALL:
        if find_spec("rawpy") is not None:
            try:
                return _develop(file, max_pixels)
            except MediaError:
                file.seek(0)
                if best is None and file.read(4) in MARKS["TIFF"]:  # a small picture beside may be whole
                    return None
                if best is None:
                    raise
        elif best is None:
            raise ExtraMissing("A raw file without a preview", "raw")
    assert best is not None
    file.seek(best.at)
    picture = Image.open(BytesIO(file.read(best.length)), formats=("JPEG",))
    return _with_exif(picture, file)


def find_previews(file: BinaryIO) -> list[Preview] | None:
    """Return the JPEGs in a raw file that can be shown, whole ones; None of a TIFF that is no raw file."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(100)
    if head.startswith(b"FUJIFILMCCD-RAW"):
        places = [(int.from_bytes(head[84:88]), int.from_bytes(head[88:92]))]
    elif head[4:8] == b"ftyp":  # Canon's CR3 keeps them in boxes, and is looked through
        places = []
    elif head[2:4] in (b"+\0", b"\0+"):  # TIFF for files of gigabytes, which no camera writes
        return None
    else:
        directories = list(_directories(file, head, size))
        if (
            not head.startswith(RAW_MARKS)
            and head[8:10] != b"CR"
            and not any(map(_is_of_sensor, directories))
        ):
            return None
        places = [place for entries in directories for place in _places(entries)]
    whole = [(at, length) for at, length in places if 0 < at < at + length <= size]
    previews = [found for at, length in whole[:CANDIDATES] if (found := _look(file, at, length))]
    if any(max(found.width, found.height) >= SMALL for found in previews):
        return previews
    return previews + list(_scan(file, size))


def _directories(file: BinaryIO, head: bytes, size: int) -> Iterator[Entries]:
    """Yield the directories of a TIFF: one after another, those within them, and that of EXIF."""
    little = head.startswith(b"II")
    waiting, seen = [int.from_bytes(head[4:8], "little" if little else "big")], set[int]()
    while waiting and len(seen) < DIRECTORIES:
        at = waiting.pop(0)
        if at in seen or not 0 < at < size:
            continue
        seen.add(at)
        entries, following = _directory(file, at, little)
        yield entries
        waiting += [*entries.get(SUBDIRECTORIES, ()), *entries.get(EXIF, ())[:1], following]


def _directory(file: BinaryIO, at: int, little: bool) -> tuple[Entries, int]:
    """Return the numbers of a directory, by tag, and where the next one is."""

    def number(data: bytes) -> int:
        return int.from_bytes(data, "little" if little else "big")

    file.seek(at)
    count = min(number(file.read(2)), ENTRIES)
    rows = file.read(12 * count + 4)
    entries: Entries = {}
    for row in range(0, min(12 * count, len(rows) - 11), 12):
        tag, kind = number(rows[row : row + 2]), number(rows[row + 2 : row + 4])
        many, inline = number(rows[row + 4 : row + 8]), rows[row + 8 : row + 12]
        size = SIZES.get(kind, 0)
        if tag == JPEG_WHOLE:  # Panasonic: the value is the JPEG
            entries[tag] = (number(inline), many)
        elif size:
            many = min(many, VALUES)
            if many * size > 4:
                file.seek(number(inline))
                inline = file.read(many * size)
            entries[tag] = tuple(number(inline[n : n + size]) for n in range(0, many * size, size))
    return entries, number(rows[12 * count : 12 * count + 4])


def _is_of_sensor(entries: Entries) -> bool:
    """Say whether a directory is of a raw file: Adobe's, or of data as they come from a sensor."""
    if DNG in entries or set(entries.get(PHOTOMETRIC, ())) & set(MOSAIC):
        return True
    return bool(set(entries.get(COMPRESSION, ())) & set(PACKED))


def _places(entries: Entries) -> Iterator[tuple[int, int]]:
    """Yield where a directory says that a JPEG is, and how long."""
    if JPEG_WHOLE in entries:
        at, length = entries[JPEG_WHOLE]
        yield at, length
    for at, length in zip(entries.get(JPEG_AT, ()), entries.get(JPEG_LENGTH, ()), strict=False):
        yield at, length
    if entries.get(COMPRESSION, (1,))[:1] in ((6,), (7,)) and len(entries.get(STRIPS, ())) == 1:
        yield entries[STRIPS][0], entries.get(LENGTHS, (0,))[0]


def _scan(file: BinaryIO, size: int) -> Iterator[Preview]:
    """Yield the JPEGs that begin anywhere in the file; where each ends, its decoder finds."""
    file.seek(0)
    data = file.read(SCANNED)
    at, found, end = data.find(b"\xff\xd8\xff"), list[int](), data.rfind(b"\xff\xd9")
    while 0 <= at < end and len(found) < CANDIDATES:  # one that does not end is cut off
        found.append(at)
        at = data.find(b"\xff\xd8\xff", at + 1)
    for at in found:
        if preview := _look(file, at, min(size - at, PREVIEW)):
            yield preview


def _look(file: BinaryIO, at: int, length: int) -> Preview | None:
    """Return what a JPEG says of its size; None of the lossless kind, in which sensors' data are kept."""
    file.seek(at)
    data = file.read(min(length, 400_000))
    if not data.startswith(b"\xff\xd8\xff") or length > PREVIEW:
        return None
    step = 2
    while step + 9 < len(data) and data[step] == 0xFF:
        mark = data[step + 1]
        if mark in (0xC0, 0xC1, 0xC2):
            height, width = (int.from_bytes(data[n : n + 2]) for n in (step + 5, step + 7))
            return Preview(width, height, at, length) if width and height and data[step + 4] == 8 else None
        if mark in (0xC3, 0xD9, 0xDA):
            return None
        step += 1 if mark == 0xFF else 2 + int.from_bytes(data[step + 2 : step + 4])
    return None


def _develop(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Return the sensor's data as a picture of half the size, not turned."""
    import rawpy

    if file.seek(0, 2) > MAX_BYTES:
        raise MediaError(f"a raw file of more than the limit of {MAX_BYTES:,} bytes")
    file.seek(0)
    try:
        with rawpy.imread(file) as raw:
            width, height = raw.sizes.raw_width, raw.sizes.raw_height
            if width * height > max_pixels:
                raise MediaError(f"{width} x {height} pixels, more than the limit of {max_pixels:,}")
            pixels = raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8, user_flip=0)
    except rawpy.LibRawError as error:
        said = error.args[0] if error.args else ""
        raise MediaError(f"damaged: {said.decode() if isinstance(said, bytes) else said}") from error
    return _with_exif(Image.fromarray(pixels), file)


def _with_exif(picture: Image.Image, file: BinaryIO) -> Image.Image:
    """Give a picture that has no EXIF that of the raw file, in which offsets count from its begin."""
    if "exif" not in picture.info:
        file.seek(0)
        head = file.read(HEAD)
        if head[4:8] == b"ftyp":  # Canon keeps its directories in boxes
            head = head[head.find(b"CMT1") + 4 :] if b"CMT1" in head else b""
        elif head.startswith(RAW_MARKS):
            head = (b"MM\0*" if head.startswith(b"MM") else b"II*\0") + head[4:]
        if head.startswith((b"II*\0", b"MM\0*")):
            picture.info["exif"] = b"Exif\0\0" + head
    return picture
