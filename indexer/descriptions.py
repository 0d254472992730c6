"""What a picture says of itself in EXIF, IPTC and XMP: descriptions, and when it was taken."""

import re
from datetime import datetime
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from PIL import Image, IptcImagePlugin
from PIL.ImageFile import ImageFile

# What cameras and programs write where a person would: Exif 2.32 ImageDescription, as found in photos.
NOISE = re.compile(
    r"(olympus|minolta|sony|samsung|konica|casio|kodak|nikon|fuji\w*|polaroid|jenoptik) .*camera.*"
    r"|dcim\\.*|default|untitled|image|created with .*|screenshot|<.*>|\W*",
    re.IGNORECASE,
)
DESCRIPTION, COMMENT, XP_TITLE, XP_COMMENT, XP_SUBJECT = 0x010E, 0x9286, 0x9C9B, 0x9C9C, 0x9C9F
EXIF_IFD, TAKEN, DIGITIZED, CHANGED = 0x8769, 0x9003, 0x9004, 0x0132
IPTC_TITLE, IPTC_HEADLINE, IPTC_CAPTION = (2, 5), (2, 105), (2, 120)
XMP_FIELDS = ("title", "description")
DC, RDF = "{http://purl.org/dc/elements/1.1/}", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"


def describe(picture: Image.Image) -> list[str]:
    """Return each description once, titles first; broken metadata is left out."""
    said: dict[str, str] = {}
    for source in (_exif, _iptc, _xmp):
        try:
            texts = source(picture)
        except Exception:  # broken metadata raises nearly anything; the pixels are still good
            continue
        for text in texts:
            clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
            if not NOISE.fullmatch(clean):
                said.setdefault(clean.casefold(), clean)
    return list(said.values())


def taken(picture: Image.Image) -> str | None:
    """Return when the picture was taken, ISO, on the camera's clock; None where it does not say."""
    try:
        exif = picture.getexif()
        inner = exif.get_ifd(EXIF_IFD)
    except Exception:
        return None
    for text in (inner.get(TAKEN), inner.get(DIGITIZED), exif.get(CHANGED)):
        try:
            return datetime.strptime(str(text)[:19], "%Y:%m:%d %H:%M:%S").isoformat()
        except ValueError:
            continue
    return None


def xmp_descriptions(xml: str | bytes) -> list[str]:
    """Return the titles and descriptions of an XMP packet; raises ValueError where it is none."""
    try:
        tree = fromstring(xml.strip(b"\0") if isinstance(xml, bytes) else xml)
    except (ParseError, DefusedXmlException) as error:
        raise ValueError(f"no XMP: {error}") from error
    return [
        item.text or "" for name in XMP_FIELDS for field in tree.iter(DC + name) for item in field.iter(RDF)
    ]


def _exif(picture: Image.Image) -> list[str]:
    exif = picture.getexif()
    fields = [exif.get(tag) for tag in (XP_TITLE, XP_SUBJECT, DESCRIPTION, XP_COMMENT)]
    texts = [_words(field) for field in fields]
    return [*texts, _comment(exif.get_ifd(EXIF_IFD).get(COMMENT))]


def _words(field: object) -> str:
    """Return an EXIF text; the Windows fields are UTF-16, others UTF-8 that Pillow read as Latin-1."""
    if isinstance(field, tuple):
        field = bytes(field)
    if isinstance(field, bytes):
        return field.decode("utf-16-le", "ignore")
    text = str(field or "")
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def _comment(field: object) -> str:
    """Return the UserComment: eight bytes name its encoding."""
    if not isinstance(field, bytes):
        return str(field or "")
    code, body = field[:8].rstrip(b"\0"), field[8:]
    if code == b"UNICODE":
        little = body[1::2].count(0) >= body[0::2].count(0)
        return body.decode("utf-16-le" if little else "utf-16-be", "ignore")
    return body.decode("ascii", "ignore") if code == b"ASCII" else ""


def _iptc(picture: Image.Image) -> list[str]:
    if not isinstance(picture, ImageFile):
        return []
    fields = IptcImagePlugin.getiptcinfo(picture) or {}
    texts = []
    for key in (IPTC_TITLE, IPTC_HEADLINE, IPTC_CAPTION):
        value = fields.get(key, b"")
        for item in value if isinstance(value, list) else [value]:
            try:
                texts.append(item.decode("utf-8"))
            except UnicodeDecodeError:
                texts.append(item.decode("latin-1"))
    return texts


def _xmp(picture: Image.Image) -> list[str]:
    packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    return xmp_descriptions(packet) if packet else []
