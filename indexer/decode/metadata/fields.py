"""Read the raw fields of an image's EXIF, IPTC and XMP, in any of the encodings in use."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from PIL import Image, IptcImagePlugin
from PIL.ImageFile import ImageFile

XmpProperties: TypeAlias = Mapping[str, list[str]]  # "{namespace}name" -> its values, in order

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
IPTC_KEYWORDS = (2, 25)
RDF_NAMESPACE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class MetadataFields:
    """The readable metadata fields of an image or sidecar."""

    ifd0: Mapping[int, Any] = field(default_factory=dict)  # EXIF's main directory
    photo: Mapping[int, Any] = field(default_factory=dict)  # EXIF directory of capture settings
    gps: Mapping[int, Any] = field(default_factory=dict)
    iptc_keywords: list[str] = field(default_factory=list)
    xmp: XmpProperties = field(default_factory=dict)

    @classmethod
    def from_image(cls, image: Image.Image) -> "MetadataFields":
        """Read the fields of an open image, without decoding it."""
        exif = try_read(image.getexif) or Image.Exif()
        return cls(
            ifd0={tag: value for tag in exif if (value := try_read(partial(exif.get, tag))) is not None},
            photo=try_read(lambda: exif.get_ifd(EXIF_IFD)) or {},
            gps=try_read(lambda: exif.get_ifd(GPS_IFD)) or {},
            iptc_keywords=try_read(lambda: iptc_texts(image, IPTC_KEYWORDS)) or [],
            xmp=try_read(lambda: read_xmp(image)) or {},
        )


def try_read(read: Callable[[], Value]) -> Value | None:
    """Call a function and return its result, or None if it raises: broken metadata raises nearly any type."""
    try:
        return read()
    except Exception:
        return None


def clean_text(text: str) -> str:
    """Return the text on one line, without characters that are not printable."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def exif_text(field: object) -> str:
    """Decode an EXIF text: the fields of Windows are UTF-16, others UTF-8 that Pillow reads as Latin-1."""
    if isinstance(field, tuple):
        field = bytes(field)
    if isinstance(field, bytes):
        return field.decode("utf-16-le", "ignore")
    text = str(field or "")
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def iptc_texts(image: Image.Image, *keys: tuple[int, int]) -> list[str]:
    """Return the values of IPTC fields, each given as (record, dataset)."""
    if not isinstance(image, ImageFile):
        return []
    fields = IptcImagePlugin.getiptcinfo(image) or {}
    texts = []
    for key in keys:
        value = fields.get(key, b"")
        for item in value if isinstance(value, list) else [value]:
            try:
                texts.append(item.decode("utf-8"))
            except UnicodeDecodeError:
                texts.append(item.decode("latin-1"))
    return texts


def read_xmp(image: Image.Image) -> XmpProperties:
    """Return the XMP properties of an image, none if it has no packet; raises ValueError if it is not XMP."""
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    return parse_xmp(packet) if packet else {}


def parse_xmp(xml: str | bytes) -> XmpProperties:
    """Return the properties of an XMP packet, whether written as attributes, elements or lists.

    Raises ValueError if it is not XMP.
    """
    try:
        tree = fromstring(xml.strip(b"\0") if isinstance(xml, bytes) else xml)
    except (ParseError, DefusedXmlException) as error:
        raise ValueError(f"invalid XMP: {error}") from error
    properties: dict[str, list[str]] = {}
    for node in tree.iter(f"{RDF_NAMESPACE}Description"):
        for name, value in node.attrib.items():
            properties.setdefault(name, []).append(value)
        for element in node:
            items = [item.text or "" for item in element.iter(f"{RDF_NAMESPACE}li")]
            properties.setdefault(element.tag, []).extend(items or [element.text or ""])
    return properties
