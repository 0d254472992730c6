"""From what a person writes to narrow an answer to filters that have been checked."""

import os
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias, TypedDict
from unicodedata import normalize

from retrieval.errors import QueryError
from retrieval.types import KINDS, ORIENTATIONS, Filters, Kind, Orientation

Time: TypeAlias = str | int | date  # "2021-06", 2021, date(2021, 6, 30)

MAX_PATTERN_LENGTH = 200  # letters of a pattern or a tag
DEFAULT_RADIUS_KM = 1.0  # kilometres, where none are written
MEGAPIXEL = 1_000_000
END_OF_PREFIX = "~"  # sorts behind all that goes on after the same beginning

_TIME = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?)?)?)?")
_LOCATION = re.compile(
    r"\s*,\s*".join((r"([+-]?\d{1,3}(?:\.\d+)?)",) * 2 + (r"(\d{1,9}(?:\.\d+)?)\s*(km|m|)",)), re.I
)
_WIDTH_AND_HEIGHT, _MEGAPIXELS = (
    re.compile(r"(\d{1,9})\s*[x×]\s*(\d{1,9})", re.I),
    re.compile(r"(\d{1,9}(?:\.\d+)?)\s*mp", re.I),
)


class FilterOptions(TypedDict, total=False):
    """What narrows an answer beside the kind; None and empty ask nothing.

    `under` is a folder, absolute or by name; `after` (inclusive) and `before` (exclusive) are a date, a
    year or the beginning of an ISO time, and `date` is one or a range of them, "2022..2024"; `camera` and
    `lens` are a part of a name or a pattern, "Canon*"; `near` is "latitude,longitude,5km"; `tag` a keyword
    or a label; `rating` the least number of stars; `size` the least, "1000x800" or "2MP"; `orientation`
    landscape, portrait or square. Of several folders, cameras or lenses any may fit; tags must all hold.
    """

    under: str | Path | Iterable[str | Path] | None
    after: Time | None
    before: Time | None
    date: Time | None
    camera: str | Iterable[str] | None
    lens: str | Iterable[str] | None
    near: str | None
    tag: str | Iterable[str] | None
    rating: str | int | None
    size: str | None
    orientation: str | None


REPEATABLE_FILTERS = ("kind", "under", "camera", "lens", "tag")  # filters that may be given again


def merge_filters(
    inline: Iterable[tuple[str, str]], kind: str | Iterable[str] | None, options: FilterOptions
) -> Filters:
    """Check filters written in a query together with those beside it; raises QueryError."""
    every: dict[str, object] = {"kind": kind, **options}
    for name, given in every.items():
        if given == "" or (isinstance(given, list | tuple) and "" in given):
            raise QueryError(f"{name} is empty; give a value or leave it out.")
    for name, value in inline:
        if name in REPEATABLE_FILTERS:
            every[name] = [*_as_list(every.get(name)), value]
        elif every.get(name) not in (None, ""):
            raise QueryError(f"{name} is given twice; give it once.")
        else:
            every[name] = value
    return build_filters(**every)  # type: ignore[arg-type]  # names and types are those of Narrow


def build_filters(
    kind: str | Iterable[str] | None = None,
    under: str | Path | Iterable[str | Path] | None = None,
    after: Time | None = None,
    before: Time | None = None,
    date: Time | None = None,
    camera: str | Iterable[str] | None = None,
    lens: str | Iterable[str] | None = None,
    near: str | None = None,
    tag: str | Iterable[str] | None = None,
    rating: str | int | None = None,
    size: str | None = None,
    orientation: str | None = None,
) -> Filters:
    """Check and gather filters, each as in `Narrow`; raises QueryError naming the one that is wrong."""
    first, last = _parse_time_range(date)
    ends = [end for end in (_parse_time("before", before), last) if end]
    return Filters(
        kinds=frozenset(_parse_kind(one) for one in _as_list(kind)),
        under=tuple(dict.fromkeys(folder for one in _as_list(under) if (folder := _parse_folder(one)))),
        after=max(_parse_time("after", after), first),
        before=min(ends, default=""),
        camera=_parse_patterns("camera", camera),
        lens=_parse_patterns("lens", lens),
        near=_parse_near(near),
        tags=_parse_patterns("tag", tag),
        rating=_parse_rating(rating),
        size=_parse_size(size),
        orientation=_parse_orientation(orientation),
    )


def _as_list(value: object) -> list[str]:
    """Return one as a list of one: a string is no list of letters."""
    if value is None or isinstance(value, str | Path):
        return [] if value is None else [str(value)]
    assert isinstance(value, Iterable), "as its type says"
    return [str(one) for one in value]


def _parse_kind(name: str) -> Kind:
    for kind in KINDS:
        if name == kind:
            return kind
    raise QueryError(f"There is no kind {name!r}; the kinds are {', '.join(KINDS)}.")


def _parse_folder(under: str) -> str:
    """Return an absolute folder, or folder names to find anywhere in a path."""
    if under.startswith(("/", "~", "./", "../")) or under in (".", ".."):
        return os.path.abspath(os.path.expanduser(under))  # links kept, as roots keep them
    return under.strip("/")


def _parse_time(name: str, value: Time | None) -> str:
    """Check the beginning of an ISO time; it is compared as text, so `2021` is all of 2021."""
    if value is None or value == "":
        return ""
    text = value.isoformat() if isinstance(value, date) else str(value)
    if _TIME.fullmatch(text):
        try:
            datetime.fromisoformat(text + "0001-01-01"[len(text) :])
        except ValueError:
            pass
        else:
            return text.replace(" ", "T")
    raise QueryError(f"{name} {text!r} is not a time; write 2021, 2021-06, 2021-06-30 or 2021-06-30T18:00.")


def _parse_time_range(value: Time | None) -> tuple[str, str]:
    """Return the ends of 2022..2024, 2022.., ..2024 or 2022, as `after` and `before` take them."""
    if not isinstance(value, str):
        first = last = _parse_time("date", value)
    else:
        start, dots, end = value.partition("..")
        first = _parse_time("date", start.strip())
        last = _parse_time("date", end.strip()) if dots else first
        if (dots and not first and not last) or (last and last + END_OF_PREFIX < first):
            raise QueryError(f"date {value!r} holds no time; write 2022, 2022..2024, 2022-06.. or ..2024.")
    return first, last and last + END_OF_PREFIX


def _parse_patterns(name: str, values: str | Iterable[str] | None) -> tuple[str, ...]:
    texts = [normalize("NFC", text.encode("utf-8", "replace").decode()).strip() for text in _as_list(values)]
    for text in texts:
        if len(text) > MAX_PATTERN_LENGTH or "\0" in text:
            raise QueryError(
                f"{name} {text[:20]!r}... is no {name}; write at most {MAX_PATTERN_LENGTH} letters "
                f"of its name."
            )
    return tuple(dict.fromkeys(text for text in texts if text))


def _parse_near(near: str | None) -> tuple[float, float, float] | None:
    if not near:
        return None
    if isinstance(near, tuple | list):
        near = ",".join(map(str, near))
    found = _LOCATION.fullmatch(near.strip()) or _LOCATION.fullmatch(f"{near.strip()},{DEFAULT_RADIUS_KM}")
    if found:
        latitude, longitude, radius = (float(part) for part in found.groups()[:3])
        kilometres = radius / 1000 if found[4].lower() == "m" else radius
        if abs(latitude) <= 90 and abs(longitude) <= 180 and kilometres > 0:
            return latitude, longitude, kilometres
    raise QueryError(
        f"near {near!r} is no place; write 48.85,2.35 or, with how far, 48.85,2.35,5km or ...,500m."
    )


def _parse_rating(rating: str | int | None) -> int | None:
    if rating is None or rating == "":
        return None
    if re.fullmatch(r"-1|[0-5]", text := str(rating).strip()):
        return int(text)
    raise QueryError(
        f"rating {text!r} is none; write the least number of stars, 0 to 5 (-1: rejected ones too)."
    )


def _parse_size(size: str | None) -> tuple[int, int, int] | None:
    if not size:
        return None
    if found := _WIDTH_AND_HEIGHT.fullmatch(size.strip()):
        return int(found[1]), int(found[2]), 0
    if found := _MEGAPIXELS.fullmatch(size.strip()):
        return 0, 0, round(float(found[1]) * MEGAPIXEL)
    raise QueryError(
        f"size {size!r} is none; write the least width and height, as 1000x800, or pixels, as 2MP."
    )


def _parse_orientation(name: str | None) -> Orientation | None:
    if not name:
        return None
    for orientation in ORIENTATIONS:
        if name.strip().lower() == orientation:
            return orientation
    raise QueryError(
        f"There is no orientation {name!r}; write {', '.join(ORIENTATIONS[:-1])} or {ORIENTATIONS[-1]}."
    )
