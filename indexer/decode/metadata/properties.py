"""Read the properties of an image from its metadata and pixels, and those of XMP sidecars."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from PIL import Image

from indexer.decode.metadata.capture_time import capture_time
from indexer.decode.metadata.fields import (
    MetadataFields,
    XmpProperties,
    clean_text,
    exif_text,
    parse_xmp,
    try_read,
)
from indexer.decode.metadata.perceptual_hash import perceptual_hash, sharpness, small_grayscale
from retrieval.normalization import nfc
from retrieval.types import MediaProperties

MAX_KEYWORDS = 500  # per image
MAX_TEXT_CHARACTERS = 500  # per value

MAKE, MODEL, ORIENTATION, RATING, XP_KEYWORDS, LENS_MODEL = 0x010F, 0x0110, 0x0112, 0x4746, 0x9C9E, 0xA434
GPS_LATITUDE_REF, GPS_LATITUDE, GPS_LONGITUDE_REF, GPS_LONGITUDE = 1, 2, 3, 4

XMP_EXIF = "{http://ns.adobe.com/exif/1.0/}"
XMP_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
XMP_LENSES = ("{http://cipa.jp/exif/1.0/}LensModel", "{http://ns.adobe.com/exif/1.0/aux/}Lens")
XMP_RATING = "{http://ns.adobe.com/xap/1.0/}Rating"
XMP_SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
XMP_HIERARCHICAL_SUBJECT = "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject"

COMPANY_SUFFIX = re.compile(  # after the name of a manufacturer
    r"[\s,.]+(corporation|corp|company|co|ltd|limited|inc|ag|gmbh|imaging|optical|electric|camera)\b.*",
    re.IGNORECASE,
)
XMP_COORDINATE = re.compile(r"(\d+),(\d+(?:\.\d+)?)(?:,(\d+(?:\.\d+)?))?([NSEW])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The metadata of an image, and its size when shown upright."""

    fields: MetadataFields
    orientation: int | None  # of EXIF, 1 to 8
    width: int
    height: int

    @classmethod
    def from_image(cls, original: Image.Image) -> "ImageHeader":
        """Read the header of an open image, without decoding it."""
        fields = MetadataFields.from_image(original)
        orientation = try_read(lambda: _orientation(fields))
        width, height = original.size
        is_rotated = orientation is not None and orientation >= 5
        if is_rotated and original.format != "TIFF":  # Pillow reports the upright size of a TIFF
            width, height = height, width
        return cls(fields, orientation, width, height)


def image_properties(
    header: ImageHeader, image: Image.Image, duration: float | None = None
) -> MediaProperties:
    """Return the properties of an image from its header and its upright pixels, at any scale.

    Invalid metadata is left out. Animations have a `duration`, in seconds.
    """
    gray = small_grayscale(image)
    return replace(
        _metadata_properties(header.fields),
        width=header.width,
        height=header.height,
        orientation=header.orientation,
        perceptual_hash=perceptual_hash(gray),
        sharpness=sharpness(gray),
        duration=duration,
    )


def sidecar_properties(xml: str) -> MediaProperties:
    """Return the properties in an XMP sidecar; raises ValueError if it is not XMP."""
    return _metadata_properties(MetadataFields(xmp=parse_xmp(xml)))


def _metadata_properties(fields: MetadataFields) -> MediaProperties:
    taken, zone = capture_time(fields)
    location = try_read(lambda: _exif_location(fields)) or try_read(lambda: _xmp_location(fields.xmp))
    latitude, longitude = location or (None, None)
    return MediaProperties(
        taken=taken,
        zone=zone,
        camera=try_read(lambda: _camera(fields)),
        lens=try_read(lambda: _lens(fields)),
        latitude=latitude,
        longitude=longitude,
        rating=try_read(lambda: _rating(fields)),
        keywords=try_read(lambda: _keywords(fields)) or (),
    )


def _camera(fields: MetadataFields) -> str | None:
    make = _one_line(exif_text(fields.ifd0.get(MAKE))) or _first_value(fields.xmp, f"{XMP_TIFF}Make")
    model = _one_line(exif_text(fields.ifd0.get(MODEL))) or _first_value(fields.xmp, f"{XMP_TIFF}Model")
    return camera_name(make, model)


def camera_name(make: str, model: str) -> str | None:
    """Return manufacturer and model without repetition: Canon EOS 80D, NIKON D70, Apple iPhone 6."""
    maker = COMPANY_SUFFIX.sub("", make).rstrip(" ,.")
    if set(model.casefold().split()[:1]) & set(maker.casefold().split()):
        return model
    return f"{maker} {model}".strip() or None


def _lens(fields: MetadataFields) -> str | None:
    """Return the model of the lens; some cameras write dashes or zeros for an unknown lens."""
    texts = [
        _one_line(exif_text(fields.photo.get(LENS_MODEL))),
        *(_first_value(fields.xmp, name) for name in XMP_LENSES),
    ]
    return next((text for text in texts if re.search(r"[1-9]|[^\W\d_]{3}", text)), None)


def _exif_location(fields: MetadataFields) -> tuple[float, float] | None:
    gps = fields.gps
    latitude = _degrees(gps[GPS_LATITUDE]) * {"N": 1, "S": -1}[_first_letter(gps[GPS_LATITUDE_REF])]
    longitude = _degrees(gps[GPS_LONGITUDE]) * {"E": 1, "W": -1}[_first_letter(gps[GPS_LONGITUDE_REF])]
    return valid_location(latitude, longitude)


def _xmp_location(xmp: XmpProperties) -> tuple[float, float] | None:
    values = []
    for name, negative in (("GPSLatitude", "S"), ("GPSLongitude", "W")):
        match = XMP_COORDINATE.fullmatch(_first_value(xmp, XMP_EXIF + name))
        if match is None:
            return None
        degrees = _degrees([part or 0 for part in match.groups()[:3]])
        values.append(-degrees if match[4].upper() == negative else degrees)
    return valid_location(*values)


def _degrees(parts: Sequence[Any]) -> float:
    """Return degrees, minutes and seconds as degrees; the last ones may be missing."""
    return float(sum(float(part) / 60**power for power, part in enumerate(parts)))


def _first_letter(field: object) -> str:
    text = field.decode("ascii", "replace") if isinstance(field, bytes) else str(field)
    return text.strip(" \0").upper()[:1]


def valid_location(latitude: float, longitude: float) -> tuple[float, float] | None:
    """Return the location, or None if it is out of range or 0, 0, which devices write if they know none."""
    in_range = isfinite(latitude) and isfinite(longitude) and abs(latitude) <= 90 and abs(longitude) <= 180
    return (latitude, longitude) if in_range and (latitude or longitude) else None


def _orientation(fields: MetadataFields) -> int | None:
    value = int(fields.ifd0[ORIENTATION])
    return value if 1 <= value <= 8 else None


def _rating(fields: MetadataFields) -> int | None:
    """Return 0 to 5 stars, or -1 for a rejected image."""
    value = int(float(_first_value(fields.xmp, XMP_RATING) or fields.ifd0[RATING]))
    return value if -1 <= value <= 5 else None


def _keywords(fields: MetadataFields) -> tuple[str, ...]:
    """Return the distinct keywords of IPTC, XMP and Windows; `Places|France|Paris` counts as `Paris`."""
    texts = [*fields.iptc_keywords, *fields.xmp.get(XMP_SUBJECT, [])]
    texts += [text.rpartition("|")[2] for text in fields.xmp.get(XMP_HIERARCHICAL_SUBJECT, [])]
    texts += try_read(lambda: exif_text(fields.ifd0.get(XP_KEYWORDS)).split(";")) or []
    keywords: dict[str, str] = {}
    for keyword in map(_one_line, texts[:MAX_KEYWORDS]):
        keywords.setdefault(keyword.casefold(), keyword)
    keywords.pop("", None)
    return tuple(keywords.values())


def _first_value(xmp: XmpProperties, name: str) -> str:
    return next((line for text in xmp.get(name, []) if (line := _one_line(text))), "")


def _one_line(text: str) -> str:
    return nfc(clean_text(text[:MAX_TEXT_CHARACTERS]))
