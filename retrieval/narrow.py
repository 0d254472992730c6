"""From what a person writes of kinds, folders and times to checked filters."""

import os
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TypeAlias

from retrieval.errors import QueryError
from retrieval.records import KINDS, Filters, Kind

Time: TypeAlias = str | int | date  # "2021-06", 2021, date(2021, 6, 30)

_TIME = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?)?)?)?")


def filters(
    kind: str | Iterable[str] | None = None,
    under: str | Path | None = None,
    after: Time | None = None,
    before: Time | None = None,
) -> Filters:
    """Check and gather filters; raises QueryError naming the one that is wrong."""
    kinds = [kind] if isinstance(kind, str) else list(kind or ())
    return Filters(
        kinds=frozenset(_kind(one) for one in kinds),
        under=_folder(under),
        after=_time("after", after),
        before=_time("before", before),
    )


def _kind(name: str) -> Kind:
    for kind in KINDS:
        if name == kind:
            return kind
    raise QueryError(f"There is no kind {name!r}; the kinds are {', '.join(KINDS)}.")


def _folder(under: str | Path | None) -> str:
    """Return an absolute folder, or folder names to find anywhere in a path."""
    text = str(under or "")
    if text.startswith(("/", "~", "./", "../")) or text in (".", ".."):
        return os.path.abspath(os.path.expanduser(text))  # links kept, as roots keep them
    return text.strip("/")


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
