"""Read the titles and descriptions of an image from its EXIF, IPTC and XMP."""

import re

from PIL import Image

from indexer.decode.metadata.fields import (
    EXIF_IFD,
    XmpProperties,
    clean_text,
    exif_text,
    iptc_texts,
    parse_xmp,
    read_xmp,
)

# Texts that cameras and programs write to ImageDescription (Exif 2.32), as found in photos.
PLACEHOLDER_TEXTS = re.compile(
    r"(olympus|minolta|sony|samsung|konica|casio|kodak|nikon|fuji\w*|polaroid|jenoptik) .*camera.*"
    r"|dcim\\.*|default|untitled|image|created with .*|screenshot|<.*>|\W*",
    re.IGNORECASE,
)
IMAGE_DESCRIPTION, USER_COMMENT, XP_TITLE, XP_COMMENT, XP_SUBJECT = 0x010E, 0x9286, 0x9C9B, 0x9C9C, 0x9C9F
IPTC_TITLE, IPTC_HEADLINE, IPTC_CAPTION = (2, 5), (2, 105), (2, 120)
XMP_FIELDS = tuple(f"{{http://purl.org/dc/elements/1.1/}}{name}" for name in ("title", "description"))


def read_descriptions(image: Image.Image) -> list[str]:
    """Return the distinct descriptions, titles first; broken metadata is left out."""
    descriptions: dict[str, str] = {}
    for source in (_exif_descriptions, _iptc_descriptions, _xmp_descriptions):
        try:
            texts = source(image)
        except Exception:  # broken metadata raises nearly any type; the pixels may still be valid
            continue
        for text in texts:
            line = clean_text(text)
            if not PLACEHOLDER_TEXTS.fullmatch(line):
                descriptions.setdefault(line.casefold(), line)
    return list(descriptions.values())


def xmp_descriptions(xml: str | bytes) -> list[str]:
    """Return the titles and descriptions of an XMP packet; raises ValueError if it is not XMP."""
    return _xmp_texts(parse_xmp(xml))


def _exif_descriptions(image: Image.Image) -> list[str]:
    exif = image.getexif()
    fields = [exif.get(tag) for tag in (XP_TITLE, XP_SUBJECT, IMAGE_DESCRIPTION, XP_COMMENT)]
    texts = [exif_text(field) for field in fields]
    return [*texts, _decode_user_comment(exif.get_ifd(EXIF_IFD).get(USER_COMMENT))]


def _decode_user_comment(field: object) -> str:
    """Return a UserComment, whose first eight bytes name its encoding."""
    if not isinstance(field, bytes):
        return str(field or "")
    code, body = field[:8].rstrip(b"\0"), field[8:]
    if code == b"UNICODE":
        is_little_endian = body[1::2].count(0) >= body[0::2].count(0)
        return body.decode("utf-16-le" if is_little_endian else "utf-16-be", "ignore")
    return body.decode("ascii", "ignore") if code == b"ASCII" else ""


def _iptc_descriptions(image: Image.Image) -> list[str]:
    return iptc_texts(image, IPTC_TITLE, IPTC_HEADLINE, IPTC_CAPTION)


def _xmp_descriptions(image: Image.Image) -> list[str]:
    return _xmp_texts(read_xmp(image))


def _xmp_texts(xmp: XmpProperties) -> list[str]:
    return [text for name in XMP_FIELDS for text in xmp.get(name, [])]
