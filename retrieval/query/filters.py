"""Validate filters written by users."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from retrieval.errors import QueryError
from retrieval.normalization import nfc, without_surrogates
from retrieval.query.ast import Query
from retrieval.query.options import DEFAULT_OPTIONS, FILTER_NAMES, SearchOptions, Time
from retrieval.system import expand_user
from retrieval.types import KINDS, ORIENTATIONS, Filters, Kind, Orientation

MAX_PATTERN_LENGTH = 200  # characters of a pattern or a tag
DEFAULT_RADIUS_KM = 1.0
MEGAPIXEL = 1_000_000
END_OF_PREFIX = "~"  # sorts after every text with the same prefix

_TIME = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?)?)?)?")
_ZONED_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)")
_LOCATION = re.compile(
    r"\s*,\s*".join((r"([+-]?\d{1,3}(?:\.\d+)?)",) * 2 + (r"(\d{1,9}(?:\.\d+)?)\s*(km|m|)",)), re.I
)
_WIDTH_AND_HEIGHT = re.compile(r"(\d{1,9})\s*[x×]\s*(\d{1,9})", re.I)
_STARS = re.compile(r"-1|[0-5]|")
_MEGAPIXELS = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*mp", re.I)


# Of several values any passes; of tags all.
REPEATABLE_FILTERS = ("kind", "under", "camera", "lens", "tag", "any_tag", "orientation")


def merge_filters(
    inline: Iterable[tuple[str, str]], kind: str | Iterable[str] | None, options: SearchOptions
) -> Filters:
    """Validate the filters in a query together with those of options; raises QueryError.

    A name with a minus, such as "-tag", excludes the hits that pass.
    """
    names = [*(name for name in FILTER_NAMES if name != "kind"), "any_tag"]
    values: dict[str, Any] = {"kind": kind} | {name: getattr(options, name) for name in names}
    values = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}
    for name, value in values.items():
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            raise QueryError(f"The value of {name} is empty. Give a value or leave out {name}.")
    excluded = []
    for name, text in inline:
        if name.startswith("-"):
            excluded.append(_parse_exclusion(name, text))
        elif name in REPEATABLE_FILTERS:
            values[name] = [*_as_list(values.get(name)), text]
        elif values.get(name) not in (None, ""):
            raise QueryError(f"{name} has two values. Give one.")
        else:
            values[name] = text
    return _without(build_filters(values.pop("kind"), replace(options, **values)), excluded)


def _parse_exclusion(name: str, text: str) -> Filters:
    options: dict[str, Any] = {} if name == "-kind" else {name[1:]: text}
    filters = build_filters(text if name == "-kind" else None, replace(DEFAULT_OPTIONS, **options))
    if filters == Filters():
        raise QueryError(f"The value of {name} is empty. Give a value or leave out {name}.")
    return filters


def _without(filters: Filters, excluded: Iterable[Filters]) -> Filters:
    """Return filters that exclude what passes others; kinds are excluded by naming the others."""
    none = []
    for each in excluded:
        kinds = frozenset(filters.kinds or KINDS) - each.kinds
        if each == Filters(each.kinds) and kinds:
            filters = replace(filters, kinds=kinds)
        else:
            none.append(each)
    return replace(filters, none=(*filters.none, *dict.fromkeys(none)))


def relative_folders(query: Query, options: SearchOptions) -> list[str]:
    """Return the folders in filters that depend on the current folder or on the user."""
    inline = [
        text for part in query.alternatives for name, text in part.filters if name in ("under", "-under")
    ]
    return [folder for folder in (*_as_list(options.under), *inline) if folder.startswith((".", "~"))]


def build_filters(
    kind: str | Iterable[str] | None = None, options: SearchOptions = DEFAULT_OPTIONS
) -> Filters:
    """Validate the filters of options; raises QueryError naming the invalid one."""
    first, last = _parse_time_range(options.date)
    ends = [end for end in (_parse_time("before", options.before), last) if end]
    min_rating, max_rating = _parse_rating(options.rating)
    return Filters(
        kinds=frozenset(map(_parse_kind, _as_list(kind))),
        under=tuple(dict.fromkeys(filter(None, map(parse_folder, _as_list(options.under))))),
        after=max(_parse_time("after", options.after), first),
        before=min(ends, default=""),
        camera=_parse_patterns("camera", options.camera),
        lens=_parse_patterns("lens", options.lens),
        near=_parse_near(options.near),
        tags=_parse_patterns("tag", options.tag),
        rating=min_rating,
        size=_parse_size(options.size),
        orientation=tuple(dict.fromkeys(map(_parse_orientation, _given(options.orientation)))),
        any_tags=_parse_patterns("tag", options.any_tag),
        max_rating=max_rating,
    )


def _as_list(value: object) -> list[str]:
    """Return a single value as a list; a string is a single value."""
    if value is None or isinstance(value, str | Path):
        return [] if value is None else [str(value)]
    if isinstance(value, bytes):
        return [os.fsdecode(value)]
    return list(map(str, value)) if isinstance(value, Iterable) else [str(value)]


def _parse_kind(name: str) -> Kind:
    for kind in KINDS:
        if name == kind:
            return kind
    raise QueryError(f"Unknown kind {name!r}. Use {', '.join(KINDS[:-1])} or {KINDS[-1]}.")


def parse_folder(under: str) -> str:
    """Return an absolute folder, or consecutive folder names to match anywhere in a path."""
    if under.startswith(("/", "~", "./", "../")) or under in (".", ".."):
        return os.path.abspath(expand_user(under))  # does not resolve links, like the paths of roots
    return under.strip("/")


def _parse_time(name: str, value: Time | None) -> str:
    """Validate the prefix of an ISO time; times are compared as text, so `2021` is before all of 2021."""
    if value is None or value == "":
        return ""
    text = value.isoformat() if isinstance(value, date) else str(value)
    if not isinstance(value, datetime) and _ZONED_TIME.fullmatch(text):
        with suppress(ValueError):
            value = datetime.fromisoformat(text)
    if isinstance(value, datetime):  # times in the catalog are local, in seconds
        with suppress(OverflowError):  # its local year is not 1 to 9999
            local = value if value.tzinfo is None else value.astimezone().replace(tzinfo=None)
            text = local.isoformat(timespec="seconds")
    if _TIME.fullmatch(text):
        try:
            datetime.fromisoformat(text + "0001-01-01"[len(text) :])
        except ValueError:
            pass
        else:
            return text.replace(" ", "T")
    return _parse_words(name, text)[0]


def _parse_words(name: str, text: str) -> tuple[str, str]:
    """Return the first and last day of a date in words; raises QueryError."""
    from retrieval.query.dates import parse_period  # late: most queries have no date in words

    if (period := parse_period(text, date.today())) is not None:
        return period
    label = "date" if name == "date" else f"time for {name}:"
    raise QueryError(
        f"Invalid {label} {text!r}. Use 2021, 2021-06, 2021-06-30T18:00, July 2021, yesterday or last summer."
    )


def _parse_time_range(value: Time | None) -> tuple[str, str]:
    """Return `after` and `before` for 2022..2024, 2022.., ..2024, 2022 or `last summer`."""
    if not isinstance(value, str):
        first = last = _parse_time("date", value)
    else:
        start, dots, end = (part.strip() for part in value.partition(".."))
        first = _parse_period(start)[0]
        last = _parse_period(end if dots else start)[1]
        if (dots and not first and not last) or (last and last + END_OF_PREFIX < first):
            raise QueryError(f"The date range {value!r} is empty. Use 2022, 2022..2024, 2022-06.. or ..2024.")
    return first, last and last + END_OF_PREFIX


def _parse_period(text: str) -> tuple[str, str]:
    """Return the first and last day, month or year of an ISO date or of a date in words."""
    if not text or _TIME.fullmatch(text):
        time = _parse_time("date", text)
        return time, time
    return _parse_words("date", text)


def _parse_patterns(name: str, values: str | Iterable[str] | None) -> tuple[str, ...]:
    texts = [nfc(without_surrogates(text)).strip() for text in _as_list(values)]
    for text in texts:
        if len(text) > MAX_PATTERN_LENGTH or "\0" in text:
            raise QueryError(f"Invalid {name} {text[:20]!r}... Use at most {MAX_PATTERN_LENGTH} characters.")
    return tuple(dict.fromkeys(text for text in texts if text))


def _parse_near(near: object) -> tuple[float, float, float] | None:
    if near is None or near in ("", ()):
        return None
    near = ",".join(map(str, near)) if isinstance(near, tuple | list) else str(near)
    match = _LOCATION.fullmatch(near.strip()) or _LOCATION.fullmatch(f"{near.strip()},{DEFAULT_RADIUS_KM}")
    if match:
        latitude, longitude, radius = map(float, match.groups()[:3])
        kilometers = radius / 1000 if match[4].lower() == "m" else radius
        if abs(latitude) <= 90 and abs(longitude) <= 180 and kilometers > 0:
            return latitude, longitude, kilometers
    raise QueryError(
        f"Invalid place {near!r} for near. Use a latitude and a longitude, 48.85,2.35, or also a radius: "
        "48.85,2.35,5km or 48.85,2.35,500m."
    )


def _parse_rating(rating: str | int | None) -> tuple[int | None, int | None]:
    """Return the minimum and the maximum of `4` or of a range, `2..4`, `2..` or `..4`."""
    if rating is None or rating == "":
        return None, None
    text = str(rating).strip()
    start, end = (part.strip() for part in text.partition("..")[::2])
    if all(map(_STARS.fullmatch, (start, end))) and (start or end):
        first, last = (int(part) if part else None for part in (start, end))
        if first is None or last is None or first <= last:
            return first, last
    raise QueryError(
        f"Invalid rating {text!r}. Use a minimum from 0 to 5, or -1 to include rejected images, or a range "
        "such as 2..4 or ..3."
    )


def _parse_size(size: str | None) -> tuple[int, int, int] | None:
    if not size:
        return None
    size = "x".join(map(str, size)) if isinstance(size, tuple | list) else str(size)
    if match := _WIDTH_AND_HEIGHT.fullmatch(size.strip()):
        return int(match[1]), int(match[2]), 0
    if match := _MEGAPIXELS.fullmatch(size.strip()):
        return 0, 0, round(float(match[1]) * MEGAPIXEL)
    raise QueryError(f"Invalid size {size!r}. Use a minimum such as 1000x800 or 2MP.")


def _given(values: object) -> list[str]:
    return [value for value in _as_list(values) if value]


def _parse_orientation(name: str) -> Orientation:
    for orientation in ORIENTATIONS:
        if name.strip().lower() == orientation:
            return orientation
    raise QueryError(
        f"Unknown orientation {name!r}. Use {', '.join(ORIENTATIONS[:-1])} or {ORIENTATIONS[-1]}."
    )
