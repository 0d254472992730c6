"""Check the types of what a program passes to a search; a wrong one is a QueryError."""

import os
import sys
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.errors import QueryError
from retrieval.query.ast import Query
from retrieval.query.options import SearchOptions
from retrieval.query.parser import parse
from retrieval.types import Hit

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_COUNT = 10**12  # hits
MAX_SEGMENT_ID = 2**63 - 1  # of SQLite
MAX_SHOWN_LENGTH = 40  # characters of an invalid value in a message


def as_query(words: object) -> Query:
    """Return text or a query as a query; None is an empty one."""
    if isinstance(words, str | Query):
        return parse(words) if isinstance(words, str) else words
    if words is None:
        return Query()
    raise QueryError(f"Invalid query {_show(words)}. Use text, or the result of `parse`.")


def as_count(count: object) -> int:
    """Return a number of hits."""
    if not isinstance(count, Integral) or count < 1:
        raise QueryError(f"Invalid count {_show(count)}. Use a whole number, 1 or more.")
    return min(int(count), MAX_COUNT)


def as_segment_id(value: object) -> int:
    """Return the id of a segment, which may be a number of NumPy."""
    if not isinstance(value, Integral) or not abs(int(value)) <= MAX_SEGMENT_ID:
        raise QueryError(f"Invalid segment id {_show(value)}. Use the `id` of a hit.")
    return int(value)


def as_path(value: object) -> Path:
    """Return the path of a file."""
    if not isinstance(value, str | bytes | Path) or not value:
        raise QueryError(f"Invalid file {_show(value)}. Use its path.")
    try:
        return Path(os.fsdecode(os.fsencode(value))).expanduser()
    except (ValueError, RuntimeError) as error:  # a lone surrogate, or no such user
        raise QueryError(f"Invalid file {_show(value)}: {error}. Use its path.") from error


def as_image(image: object) -> "str | Path | Image":
    """Return a path or a Pillow image."""
    pillow = sys.modules.get("PIL.Image")  # not imported: then no object is an image of it
    if isinstance(image, str | Path) or (pillow is not None and isinstance(image, pillow.Image)):
        return image
    raise QueryError(f"Invalid image {_show(image)}. Use a path or a Pillow image.")


def as_examples(examples: object) -> "list[int | str | Path | Image]":
    """Return one or more examples as a list, with "#12", a hit or a number of NumPy as a segment id."""
    is_single = isinstance(examples, str | bytes | Path) or not isinstance(examples, Iterable)
    return [_as_example(example) for example in ([examples] if is_single else examples)]  # type: ignore[attr-defined]


def _as_example(example: object) -> "int | str | Path | Image":
    example = example.id if isinstance(example, Hit) else example
    if isinstance(example, Integral) and not isinstance(example, bool):
        return as_segment_id(example)
    id_ = parse_segment_id(example)
    return as_image(example) if id_ is None else id_


def parse_segment_id(example: object) -> int | None:
    """Return the segment id of "#12", None for other examples."""
    text = example[1:] if isinstance(example, str) and example.startswith("#") else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def check_options(options: object) -> None:
    """Raise QueryError for what is not a SearchOptions."""
    if not isinstance(options, SearchOptions):
        raise QueryError(f"Invalid options {_show(options)}. Use SearchOptions(after=2021, group=True).")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_LENGTH else f"{text[:MAX_SHOWN_LENGTH]}..."
