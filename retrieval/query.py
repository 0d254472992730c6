"""From what a person asks to a unit vector and filters."""

import os
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from retrieval.embedders import Embedder
from retrieval.errors import MediaError, QueryError
from retrieval.records import KINDS, Filters, Kind, Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

Time: TypeAlias = str | int | date  # "2021-06", 2021, date(2021, 6, 30)

_TIME = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d)?)?)?)?")


def embed_words(embedder: Embedder, words: str) -> Vectors:
    """Return the (1, d) vector of these words."""
    try:
        return embedder.embed_texts([words.encode("utf-8", "replace").decode()])
    except ValueError as error:
        raise QueryError("The query is empty; give at least one word.") from error


def embed_picture(embedder: Embedder, image: "str | Path | Image") -> Vectors:
    """Return the (1, d) vector of a picture, given as a file or as a Pillow image."""
    from retrieval.media import open_picture, to_rgb, upright  # words alone need no Pillow

    if not isinstance(image, str | Path):
        return embedder.embed_images([embedder.prepare(upright(to_rgb(image), image))])
    try:
        picture = open_picture(Path(image).expanduser(), near=embedder.side)
    except MediaError as error:
        raise QueryError(f"{image} cannot be used as a query: {error}.") from error
    return embedder.embed_images([embedder.prepare(picture)])


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
