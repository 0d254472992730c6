"""Write images in formats that no installed library writes."""

import io
import re
import struct
from fractions import Fraction
from functools import cache

import av
import numpy as np
from PIL import Image

Color = tuple[int, int, int]
RED, GREEN, BLUE = (250, 10, 10), (10, 250, 10), (10, 10, 250)


def encode_image(image: Image.Image, format_: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def solid_image(color: Color, size=(64, 48), mode="RGB") -> Image.Image:
    return Image.new("RGB", size, color).convert(mode)


def quadrant_image(size=(64, 48)) -> Image.Image:
    """Draw a blue image whose upper left quarter is red, which shows its orientation."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1] // 2))
    return image


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def full_box(name: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *parts)


@cache
def hevc(pixels: bytes, size: tuple[int, int]) -> tuple[bytes, bytes]:
    """Return one frame as HEVC: the decoder configuration and the data."""
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.time_base, encoder.options = Fraction(1), {"x265-params": "log-level=none:crf=8"}
    array = np.frombuffer(pixels, np.uint8).reshape(size[1], size[0], 3)
    frame = av.VideoFrame.from_ndarray(array, "rgb24").reformat(format="yuv420p")
    frame.pts = 0
    stream = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    extra = encoder.extradata or b""
    units = [unit.strip(b"\0") for unit in re.split(b"\0\0\1", extra + stream) if unit.strip(b"\0")]
    parameter_sets = {unit[0] >> 1: unit for unit in units if unit[0] >> 1 in (32, 33, 34)}
    level = parameter_sets[33].replace(b"\0\0\3", b"\0\0")[3:15]
    head = b"\1" + level + b"\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f" + bytes([len(parameter_sets)])
    rows = (struct.pack(">BHH", 0x80 | kind, 1, len(unit)) + unit for kind, unit in parameter_sets.items())
    slices = (unit for unit in units if unit[0] >> 1 < 32)
    return box(b"hvcC", head, *rows), b"".join(struct.pack(">I", len(unit)) + unit for unit in slices)


def heic(image: Image.Image, quarter_turns: int = 0, exif: bytes = b"", brand: bytes = b"heic") -> bytes:
    """Return a HEIC that is rotated by quarter turns counterclockwise when shown."""
    configuration, data = hevc(image.tobytes(), image.size)
    items = [data] + ([struct.pack(">I", 6) + b"Exif\0\0" + exif] if exif else [])
    kinds = [b"hvc1", b"Exif"][: len(items)]
    properties = [configuration, full_box(b"ispe", struct.pack(">II", *image.size))]
    if quarter_turns:
        properties.append(box(b"irot", bytes([quarter_turns])))
    associations = bytes([0x81, 0x02, 0x83][: len(properties)])

    def meta(begin: int) -> bytes:
        locations, offset = b"", begin
        for number, item in enumerate(items, start=1):
            locations += struct.pack(">HHHII", number, 0, 1, offset, len(item))
            offset += len(item)
        return full_box(
            b"meta",
            full_box(b"hdlr", bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", struct.pack(">H", 1)),
            full_box(b"iloc", b"\x44\0", struct.pack(">H", len(items)), locations),
            full_box(
                b"iinf",
                struct.pack(">H", len(items)),
                *(
                    full_box(b"infe", struct.pack(">HH4s", n, 0, kind), b"\0", version=2)
                    for n, kind in enumerate(kinds, start=1)
                ),
            ),
            *([full_box(b"iref", box(b"cdsc", struct.pack(">HHH", 2, 1, 1)))] if exif else []),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full_box(b"ipma", struct.pack(">IHB", 1, 1, len(properties)), associations),
            ),
        )

    start = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    begin = len(start) + len(meta(0)) + 8
    return start + meta(begin) + box(b"mdat", *items)


def psd(image: Image.Image, depth: int = 8, resources: dict[int, bytes] | None = None) -> bytes:
    """Return an uncompressed Photoshop file without layers."""
    planes = np.asarray(image, np.uint16).transpose(2, 0, 1)
    values = planes.astype(np.uint8) if depth == 8 else (planes * 257).astype(">u2")
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, image.height, image.width, depth, 3)
    blocks = b"".join(
        b"8BIM" + struct.pack(">HHI", kind, 0, len(data)) + data + bytes(len(data) % 2)
        for kind, data in (resources or {}).items()
    )
    section = struct.pack(">I", len(blocks)) + blocks
    return head + bytes(4) + section + bytes(4) + b"\0\0" + values.tobytes()


def cursor(image: Image.Image) -> bytes:
    data = bytearray(encode_image(image, "ICO", bitmap_format="bmp", sizes=[image.size]))
    data[2] = 2
    return bytes(data)


def red_ink_profile() -> bytes:
    """Return a CMYK profile: the first ink is red, the last is black and the others have no effect."""
    red, white, black = (137, 208, 195), (255, 128, 128), (0, 128, 128)  # in Lab
    corners = [(n >> 3 & 1, n & 1) for n in range(16)]  # the last ink varies fastest
    table = b"".join(bytes(black if k else red if c else white) for c, k in corners)
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    body = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + 4 * ramp + table + 3 * ramp
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(body))
    size = struct.pack(">I", 144 + len(body))
    white_point = struct.pack(">iii", 63190, 65536, 54061)
    head = size + bytes(4) + b"\2\x40\0\0prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28) + white_point
    return head.ljust(128, b"\0") + tags + body


IfdEntry = tuple[int, int, int, int]  # tag, type, count, value


def tiff_directory(entries: list[IfdEntry], following: int = 0) -> bytes:
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)


def cr2(
    preview: bytes, size=(561, 374), orientation: int = 1, model: bytes = b"Canon EOS 5D Mark II\0"
) -> bytes:
    """Return a file with the structure of Canon's CR2: the preview as a strip, a thumbnail, data."""
    small = encode_image(solid_image(GREEN, (32, 24)), "JPEG")
    first, second = 16, 16 + 2 + 12 * 8 + 4
    texts = second + 2 + 12 * 3 + 4
    at = texts + len(model)
    rows = [
        (0x0100, 3, 1, size[0]),
        (0x0101, 3, 1, size[1]),
        (0x0103, 3, 1, 6),
        (0x010F, 2, 4, int.from_bytes(b"Can\0", "little")),
        (0x0110, 2, len(model), texts),
        (0x0111, 4, 1, at + len(small)),
        (0x0112, 3, 1, orientation),
        (0x0117, 4, 1, len(preview)),
    ]
    thumb = [(0x0103, 3, 1, 6), (0x0201, 4, 1, at), (0x0202, 4, 1, len(small))]
    head = struct.pack("<2sHI2sBBI", b"II", 42, first, b"CR", 2, 0, 0)
    return head + tiff_directory(rows, second) + tiff_directory(thumb) + model + small + preview + bytes(999)


def nef(preview: bytes | None, orientation: int = 1) -> bytes:
    """Return a file with the structure of Nikon's NEF: a small raw image, then a JPEG and sensor data."""
    small = Image.new("RGB", (16, 12), GREEN).tobytes()
    first = 8
    jpeg_at = first + 2 + 12 * 9 + 4 + 8
    sensor_at = jpeg_at + 2 + 12 * 3 + 4
    data = sensor_at + 2 + 12 * 4 + 4
    rows = [
        (0x00FE, 4, 1, 1),
        (0x0100, 3, 1, 16),
        (0x0101, 3, 1, 12),
        (0x0103, 3, 1, 1),
        (0x0106, 3, 1, 2),
        (0x0111, 4, 1, data),
        (0x0112, 3, 1, orientation),
        (0x0117, 4, 1, len(small)),
        (0x014A, 4, 2, jpeg_at - 8),
    ]
    jpeg = [(0x0103, 3, 1, 6), (0x0201, 4, 1, data + len(small)), (0x0202, 4, 1, len(preview or b""))]
    sensor = [(0x0100, 3, 1, 4000), (0x0101, 3, 1, 3000), (0x0103, 3, 1, 34713), (0x0106, 3, 1, 32803)]
    head = (
        struct.pack("<2sHI", b"II", 42, first) + tiff_directory(rows) + struct.pack("<II", jpeg_at, sensor_at)
    )
    return head + tiff_directory(jpeg) + tiff_directory(sensor) + small + (preview or b"") + bytes(999)


def dng(preview: bytes, xmp: bytes = b"") -> bytes:
    """Return a file with the structure of Adobe's DNG: sensor data, and the preview in a sub-directory."""
    first, preview_rows = 8, 4
    second = first + 2 + 12 * 5 + 4
    at = second + 2 + 12 * preview_rows + 4
    rows = [
        (0x0103, 3, 1, 1),
        (0x0106, 3, 1, 32803),
        (0x014A, 4, 1, second),
        (0x02BC, 1, len(xmp), at + len(preview)),
        (0xC612, 1, 4, 1025),
    ]
    strip = [(0x0103, 3, 1, 7), (0x0106, 3, 1, 6), (0x0111, 4, 1, at), (0x0117, 4, 1, len(preview))]
    head = struct.pack("<2sHI", b"II", 42, first)
    return head + tiff_directory(rows) + tiff_directory(strip) + preview + xmp + bytes(999)


def raf(preview: bytes) -> bytes:
    """Return a file with the header of Fujifilm's RAF."""
    head = b"FUJIFILMCCD-RAW 0201FF129502X100F".ljust(84, b"\0")
    return head + struct.pack(">II", 148, len(preview)) + bytes(56) + preview + bytes(999)


def rw2(preview: bytes) -> bytes:
    """Return a file with the structure of Panasonic's RW2: the JPEG is the value of a tag."""
    rows = tiff_directory([(0x002E, 7, len(preview), 8 + 2 + 12 + 4)])
    return b"IIU\0" + struct.pack("<I", 8) + rows + preview + bytes(999)


def orf(preview: bytes) -> bytes:
    """Return a file with the structure of Olympus's ORF: only the maker notes refer to the JPEG."""
    rows = tiff_directory([(0x0112, 3, 1, 1)])
    return b"IIRO" + struct.pack("<I", 8) + rows + b"OLYMPUS\0II\3\0" + bytes(77) + preview + bytes(999)


def cr3(preview: bytes) -> bytes:
    """Return a file with the structure of Canon's CR3: boxes, one of them a preview."""
    return box(b"ftyp", b"crx ", bytes(4), b"crx isom") + box(
        b"uuid", bytes(40), box(b"PRVW", bytes(16), preview)
    )
