"""What a picture says of itself beside descriptions: when, where, with what it was taken, how it is rated.

A larger VERSION makes the next `clew index` read what older ones have written again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any
from unicodedata import normalize

from PIL import Image

from indexer.decode.metadata.capture_time import when_taken
from indexer.decode.metadata.fields import Fields, Properties, attempt, clean, exif_text, xmp_properties
from indexer.decode.metadata.perceptual_hash import looks, sharpness, small_grey
from retrieval.types import MediaProperties

VERSION = 1
MOST = 500  # keywords of a picture, and letters of any text: a hostile file costs no more

MAKE, MODEL, ORIENTATION, RATING, XP_KEYWORDS, LENS = 0x010F, 0x0110, 0x0112, 0x4746, 0x9C9E, 0xA434
NORTH, LATITUDE, EAST, LONGITUDE = 1, 2, 3, 4

EXIF = "{http://ns.adobe.com/exif/1.0/}"
TIFF = "{http://ns.adobe.com/tiff/1.0/}"
XMP_LENSES = ("{http://cipa.jp/exif/1.0/}LensModel", "{http://ns.adobe.com/exif/1.0/aux/}Lens")
XMP_RATING = "{http://ns.adobe.com/xap/1.0/}Rating"
SUBJECT = "{http://purl.org/dc/elements/1.1/}subject"
HIERARCHY = "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject"

COMPANY = re.compile(  # what makers write behind their name
    r"[\s,.]+(corporation|corp|company|co|ltd|limited|inc|ag|gmbh|imaging|optical|electric|camera)\b.*",
    re.IGNORECASE,
)
XMP_PLACE = re.compile(r"(\d+),(\d+(?:\.\d+)?)(?:,(\d+(?:\.\d+)?))?([NSEW])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture that is open says before it is decoded: its fields, and its size as it is shown."""

    fields: Fields
    orientation: int | None
    width: int
    height: int

    @classmethod
    def of(cls, original: Image.Image) -> "Header":
        """Read the header of a picture, which need not be decoded."""
        fields = Fields.of(original)
        orientation = attempt(lambda: _orientation(fields))
        width, height = original.size
        if (
            orientation is not None and orientation >= 5 and original.format != "TIFF"
        ):  # Pillow turns those itself
            width, height = height, width
        return cls(fields, orientation, width, height)


def picture_details(header: Header, upright: Image.Image, duration: float | None = None) -> MediaProperties:
    """Return the details of a picture from its header and from its upright pixels at any scale.

    Metadata that is broken is left out. What moves has a `duration`, in seconds.
    """
    grey = small_grey(upright)
    return _details(
        header.fields,
        width=header.width,
        height=header.height,
        orientation=header.orientation,
        perceptual_hash=looks(grey),
        sharpness=sharpness(grey),
        duration=duration,
    )


def sidecar_details(xml: str) -> MediaProperties:
    """Return what an XMP sidecar says of its picture; raises ValueError where it is no XMP."""
    return _details(Fields(xmp=xmp_properties(xml)))


def _details(fields: Fields, **seen: Any) -> MediaProperties:
    taken, zone = when_taken(fields)
    place = attempt(lambda: _exif_place(fields)) or attempt(lambda: _xmp_place(fields.xmp))
    latitude, longitude = place or (None, None)
    return MediaProperties(
        taken=taken,
        zone=zone,
        camera=attempt(lambda: _camera(fields)),
        lens=attempt(lambda: _lens(fields)),
        latitude=latitude,
        longitude=longitude,
        rating=attempt(lambda: _rating(fields)),
        keywords=attempt(lambda: _keywords(fields)) or (),
        **seen,
    )


def _camera(fields: Fields) -> str | None:
    make = _line(exif_text(fields.main.get(MAKE))) or _first(fields.xmp, f"{TIFF}Make")
    model = _line(exif_text(fields.main.get(MODEL))) or _first(fields.xmp, f"{TIFF}Model")
    return camera_of(make, model)


def camera_of(make: str, model: str) -> str | None:
    """Return maker and model, the maker once: Canon EOS 80D, NIKON D70, Apple iPhone 6."""
    maker = COMPANY.sub("", make).rstrip(" ,.")
    if set(model.casefold().split()[:1]) & set(maker.casefold().split()):
        return model
    return f"{maker} {model}".strip() or None


def _lens(fields: Fields) -> str | None:
    """Return the lens's model; some cameras write dashes and zeros for a lens that they do not know."""
    texts = [_line(exif_text(fields.shot.get(LENS))), *(_first(fields.xmp, name) for name in XMP_LENSES)]
    return next((text for text in texts if re.search(r"[1-9]|[^\W\d_]{3}", text)), None)


def _exif_place(fields: Fields) -> tuple[float, float] | None:
    gps = fields.gps
    latitude = _degrees(gps[LATITUDE]) * {"N": 1, "S": -1}[_letter(gps[NORTH])]
    longitude = _degrees(gps[LONGITUDE]) * {"E": 1, "W": -1}[_letter(gps[EAST])]
    return _place(latitude, longitude)


def _xmp_place(xmp: Properties) -> tuple[float, float] | None:
    values = []
    for name, away in (("GPSLatitude", "S"), ("GPSLongitude", "W")):
        found = XMP_PLACE.fullmatch(_first(xmp, EXIF + name))
        if found is None:
            return None
        degrees = _degrees([part or 0 for part in found.groups()[:3]])
        values.append(-degrees if found[4].upper() == away else degrees)
    return _place(*values)


def _degrees(parts: Sequence[Any]) -> float:
    """Return degrees of degrees, minutes and seconds, of which the last may lack."""
    return float(sum(float(part) / 60**power for power, part in enumerate(parts)))


def _letter(field: object) -> str:
    text = field.decode("ascii", "replace") if isinstance(field, bytes) else str(field)
    return text.strip(" \0").upper()[:1]


def _place(latitude: float, longitude: float) -> tuple[float, float] | None:
    """Return a place on earth; 0, 0 is what is written where none is known."""
    right = isfinite(latitude) and isfinite(longitude) and abs(latitude) <= 90 and abs(longitude) <= 180
    return (latitude, longitude) if right and (latitude or longitude) else None


def _orientation(fields: Fields) -> int | None:
    value = int(fields.main[ORIENTATION])
    return value if 1 <= value <= 8 else None


def _rating(fields: Fields) -> int | None:
    """Return the stars, 0 to 5, or -1 for a picture that was rejected."""
    value = int(float(_first(fields.xmp, XMP_RATING) or fields.main[RATING]))
    return value if -1 <= value <= 5 else None


def _keywords(fields: Fields) -> tuple[str, ...]:
    """Return the keywords of IPTC, XMP and Windows, each once; of `Places|France|Paris` the last."""
    texts = [*fields.iptc, *fields.xmp.get(SUBJECT, [])]
    texts += [text.rpartition("|")[2] for text in fields.xmp.get(HIERARCHY, [])]
    texts += attempt(lambda: exif_text(fields.main.get(XP_KEYWORDS)).split(";")) or []
    once: dict[str, str] = {}
    for line in map(_line, texts[:MOST]):
        once.setdefault(line.casefold(), line)
    once.pop("", None)
    return tuple(once.values())


def _first(xmp: Properties, name: str) -> str:
    return next((line for text in xmp.get(name, []) if (line := _line(text))), "")


def _line(text: str) -> str:
    return normalize("NFC", clean(text[:MOST]))
