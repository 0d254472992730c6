"""Detect the format of image files from their first bytes; file names are not used."""

import zlib
from typing import BinaryIO, Literal, TypeAlias

ImageFormat: TypeAlias = Literal[
    "AVIF", "HEIF", "JPEG", "JXL", "PSD", "RAW", "SVG", "TGA", "TIFF", "WEBP"
]  # formats that are not left to Pillow

HEADER_BYTES = 64
TEXT_HEADER_BYTES = 65_536  # of text files, because comments may precede the first tag
SIGNATURES = {
    "JPEG": (b"\xff\xd8",),
    "PNG": (b"\x89PNG",),
    "GIF": (b"GIF8",),
    "WebP": (b"RIFF",),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "PSD": (b"8BPS",),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xffO\xffQ"),
    "an icon": (b"\0\0\1\0",),
    "a cursor": (b"\0\0\2\0",),
}
RAW_SIGNATURES = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR")  # Fuji, Panasonic, Olympus
JXL_SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
GZIP_SIGNATURE = b"\x1f\x8b"
AVIF_BRANDS = (b"avif", b"avis")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
CR3_BRAND = b"crx "
IMAGE_BRANDS = (*AVIF_BRANDS, *HEIF_BRANDS, CR3_BRAND)  # of ISO 14496-12 files that contain an image


def detect_format(file: BinaryIO) -> ImageFormat | None:
    """Return the format of a file, or None for formats that are left to Pillow; the file is rewound."""
    head = file.read(HEADER_BYTES)
    if head[:1] in (b"<", b"\xef", b"\xff", b"\xfe", b" ", b"\n", b"\r", b"\t") or head.startswith(
        GZIP_SIGNATURE
    ):
        head += file.read(TEXT_HEADER_BYTES)
    file.seek(0)
    if head.startswith(SIGNATURES["TIFF"]):
        return "TIFF"
    if head[4:8] == b"ftyp":
        return _detect_isobmff_format(head)
    if head.startswith(SIGNATURES["JPEG"]):
        return "JPEG"
    if head.startswith(JXL_SIGNATURES):
        return "JXL"
    if head.startswith(RAW_SIGNATURES):
        return "RAW"
    if head.startswith(SIGNATURES["PSD"]):
        return "PSD"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if _is_svg(head):
        return "SVG"
    return "TGA" if _is_tga(head) else None


def unreadable_reason(header: bytes) -> str:
    """Return why no decoder accepts a file."""
    if not header:
        return "empty file"
    for name, marks in SIGNATURES.items():
        if header.startswith(marks):
            return f"damaged: it begins as {name} but is not a valid image"
    if header[4:8] == b"ftyp":
        brand = "".join(chr(byte) for byte in header[8:12] if 32 < byte < 127)
        if _detect_isobmff_format(header) is not None:
            return f"damaged: it begins as {brand.upper()} but is not a valid image"
        return f"of a format that clew does not read ({brand})"
    return f"not an image: it begins with {header[:8]!r}"


def _detect_isobmff_format(header: bytes) -> ImageFormat | None:
    """Return the format of an ISO 14496-12 file from its compatible brands."""
    size = min(int.from_bytes(header[:4]), HEADER_BYTES)
    brands = [header[8:12], *(header[at : at + 4] for at in range(16, size - 3, 4))]
    if brands[0] == CR3_BRAND:
        return "RAW"
    if any(brand in AVIF_BRANDS for brand in brands):
        return "AVIF"
    return "HEIF" if any(brand in HEIF_BRANDS for brand in brands) else None


def _is_svg(header: bytes) -> bool:
    """Return True if this is XML, possibly gzipped, with an svg tag before any html tag."""
    if header.startswith(GZIP_SIGNATURE):
        try:
            header = zlib.decompressobj(31).decompress(header, TEXT_HEADER_BYTES)
        except zlib.error:
            return False
    if header.startswith((b"\xff\xfe", b"\xfe\xff")):
        header = header.decode("utf-16", "ignore").encode("utf-8", "ignore")
    text = header.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    svg, html = text.find(b"<svg"), text.find(b"<html")
    return text.startswith(b"<") and svg >= 0 and not 0 <= html < svg


def _is_tga(header: bytes) -> bool:
    """Return True if all header fields are valid for Targa, which has no signature."""
    if len(header) < 18:
        return False
    color_map, kind, depth = header[1], header[2], header[16]
    width, height = int.from_bytes(header[12:14], "little"), int.from_bytes(header[14:16], "little")
    is_valid = (kind in (1, 9) and color_map == 1 and depth == 8) or (
        kind in (2, 3, 10, 11) and color_map == 0 and depth in (8, 16, 24, 32)
    )
    return is_valid and width > 0 and height > 0 and not header[17] & 0xC0
