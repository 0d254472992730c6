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

LONGEST = 200  # letters of a pattern or a tag
NEAR = 1.0  # kilometres, where none are written
MEGAPIXEL = 1_000_000
BEHIND = "~"  # sorts behind all that goes on after the same beginning

_TIME = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?)?)?)?")
_PLACE = re.compile(
    r"\s*,\s*".join((r"([+-]?\d{1,3}(?:\.\d+)?)",) * 2 + (r"(\d{1,9}(?:\.\d+)?)\s*(km|m|)",)), re.I
)
_SIDES, _PIXELS = (
    re.compile(r"(\d{1,9})\s*[x×]\s*(\d{1,9})", re.I),
    re.compile(r"(\d{1,9}(?:\.\d+)?)\s*mp", re.I),
)


class Narrow(TypedDict, total=False):
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


SEVERAL = ("kind", "under", "camera", "lens", "tag")  # filters that may be given again


def gather(inline: Iterable[tuple[str, str]], kind: str | Iterable[str] | None, narrow: Narrow) -> Filters:
    """Check filters written in a query together with those beside it; raises QueryError."""
    every: dict[str, object] = {"kind": kind, **narrow}
    for name, given in every.items():
        if given == "" or (isinstance(given, list | tuple) and "" in given):
            raise QueryError(f"{name} is empty; give a value or leave it out.")
    for name, value in inline:
        if name in SEVERAL:
            every[name] = [*_several(every.get(name)), value]
        elif every.get(name) not in (None, ""):
            raise QueryError(f"{name} is given twice; give it once.")
        else:
            every[name] = value
    return filters(**every)  # type: ignore[arg-type]  # names and types are those of Narrow


def filters(
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
    first, last = _range(date)
    ends = [end for end in (_time("before", before), last) if end]
    return Filters(
        kinds=frozenset(_kind(one) for one in _several(kind)),
        under=tuple(dict.fromkeys(folder for one in _several(under) if (folder := _folder(one)))),
        after=max(_time("after", after), first),
        before=min(ends, default=""),
        camera=_names("camera", camera),
        lens=_names("lens", lens),
        near=_near(near),
        tags=_names("tag", tag),
        rating=_rating(rating),
        size=_size(size),
        orientation=_orientation(orientation),
    )


def _several(given: object) -> list[str]:
    """Return one as a list of one: a string is no list of letters."""
    if given is None or isinstance(given, str | Path):
        return [] if given is None else [str(given)]
    assert isinstance(given, Iterable), "as its type says"
    return [str(one) for one in given]


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if name == kind:
            return kind
    raise QueryError(f"There is no kind {name!r}; the kinds are {', '.join(KINDS)}.")


def _folder(under: str) -> str:
    """Return an absolute folder, or folder names to find anywhere in a path."""
    if under.startswith(("/", "~", "./", "../")) or under in (".", ".."):
        return os.path.abspath(os.path.expanduser(under))  # links kept, as roots keep them
    return under.strip("/")


def _time(name: str, when: Time | None) -> str:
    """Check the beginning of an ISO time; it is compared as text, so `2021` is all of 2021."""
    if when is None or when == "":
        return ""
    text = when.isoformat() if isinstance(when, date) else str(when)
    if _TIME.fullmatch(text):
        try:
            datetime.fromisoformat(text + "0001-01-01"[len(text) :])
        except ValueError:
            pass
        else:
            return text.replace(" ", "T")
    raise QueryError(f"{name} {text!r} is not a time; write 2021, 2021-06, 2021-06-30 or 2021-06-30T18:00.")


def _range(when: Time | None) -> tuple[str, str]:
    """Return the ends of 2022..2024, 2022.., ..2024 or 2022, as `after` and `before` take them."""
    if not isinstance(when, str):
        first = last = _time("date", when)
    else:
        start, dots, end = when.partition("..")
        first = _time("date", start.strip())
        last = _time("date", end.strip()) if dots else first
        if (dots and not first and not last) or (last and last + BEHIND < first):
            raise QueryError(f"date {when!r} holds no time; write 2022, 2022..2024, 2022-06.. or ..2024.")
    return first, last and last + BEHIND


def _names(name: str, given: str | Iterable[str] | None) -> tuple[str, ...]:
    texts = [normalize("NFC", text.encode("utf-8", "replace").decode()).strip() for text in _several(given)]
    for text in texts:
        if len(text) > LONGEST or "\0" in text:
            raise QueryError(
                f"{name} {text[:20]!r}... is no {name}; write at most {LONGEST} letters of its name."
            )
    return tuple(dict.fromkeys(text for text in texts if text))


def _near(near: str | None) -> tuple[float, float, float] | None:
    if not near:
        return None
    if isinstance(near, tuple | list):
        near = ",".join(map(str, near))
    found = _PLACE.fullmatch(near.strip()) or _PLACE.fullmatch(f"{near.strip()},{NEAR}")
    if found:
        latitude, longitude, radius = (float(part) for part in found.groups()[:3])
        kilometres = radius / 1000 if found[4].lower() == "m" else radius
        if abs(latitude) <= 90 and abs(longitude) <= 180 and kilometres > 0:
            return latitude, longitude, kilometres
    raise QueryError(
        f"near {near!r} is no place; write 48.85,2.35 or, with how far, 48.85,2.35,5km or ...,500m."
    )


def _rating(rating: str | int | None) -> int | None:
    if rating is None or rating == "":
        return None
    if re.fullmatch(r"-1|[0-5]", text := str(rating).strip()):
        return int(text)
    raise QueryError(
        f"rating {text!r} is none; write the least number of stars, 0 to 5 (-1: rejected ones too)."
    )


def _size(size: str | None) -> tuple[int, int, int] | None:
    if not size:
        return None
    if found := _SIDES.fullmatch(size.strip()):
        return int(found[1]), int(found[2]), 0
    if found := _PIXELS.fullmatch(size.strip()):
        return 0, 0, round(float(found[1]) * MEGAPIXEL)
    raise QueryError(
        f"size {size!r} is none; write the least width and height, as 1000x800, or pixels, as 2MP."
    )


def _orientation(name: str | None) -> Orientation | None:
    if not name:
        return None
    for orientation in ORIENTATIONS:
        if name.strip().lower() == orientation:
            return orientation
    raise QueryError(
        f"There is no orientation {name!r}; write {', '.join(ORIENTATIONS[:-1])} or {ORIENTATIONS[-1]}."
    )
