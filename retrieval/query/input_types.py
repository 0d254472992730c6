"""Check the types of what a program passes to a search; a wrong one is a QueryError."""

import os
import sys
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.errors import MediaError, QueryError
from retrieval.formatting import format_timestamp, parse_timed_path
from retrieval.query.ast import Query
from retrieval.query.options import SearchOptions
from retrieval.query.parser import parse
from retrieval.system import expand_user
from retrieval.types import Filters, Hit, Vectors

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


def as_kinds(kind: str | Iterable[str] | None) -> str | tuple[str, ...] | None:
    """Return one or more kinds, which can be read more than once."""
    if isinstance(kind, str | None) or not isinstance(kind, Iterable):
        return kind
    return tuple(kind.tolist() if hasattr(kind, "tolist") else kind)


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
        return expand_user(os.fsdecode(os.fsencode(value)))
    except ValueError as error:  # a lone surrogate
        raise QueryError(f"Invalid file {_show(value)}: {error}. Use its path.") from error


def as_image(image: object) -> "str | Path | Image":
    """Return a path, or a Pillow image as upright sRGB; several threads may read its pixels."""
    pillow = sys.modules.get("PIL.Image")  # not imported: then no object is an image of it
    if isinstance(image, str | Path):
        return image
    if pillow is not None and isinstance(image, pillow.Image):
        from retrieval.media.images.loader import decode_image  # late, for Pillow

        try:
            return decode_image(image)
        except MediaError as error:
            raise QueryError(f"Cannot use {_show(image)} as a query: {error}.") from error
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


def as_vector(values: object, dim: int) -> Vectors:
    """Return numbers as a unit vector with `dim` dimensions, (1, d)."""
    try:
        vector = np.array(values, np.float64).reshape(1, -1)
    except (TypeError, ValueError, OverflowError) as error:
        raise QueryError(f"Invalid vector {_show(values)}. Use a list of numbers.") from error
    if vector.shape != (1, dim):
        raise QueryError(f"The vector has {vector.size} dimensions, those of the library have {dim}.")
    length = np.linalg.norm(vector)
    if not np.isfinite(length) or not length:
        raise QueryError("Invalid vector. Its numbers must be finite, and not all 0.")
    return np.asarray(vector / length, np.float32)


def find_hit(catalog: Catalog, hit: object, space: str) -> Hit:
    """Return a segment, by its id or by path and time, as a hit."""
    segment = _segment_at(catalog, hit) if isinstance(hit, str) else as_segment_id(hit)
    hits = catalog.hits([(segment, 1.0)], space, Filters())
    if not hits:
        raise QueryError(f"The library has no segment #{segment}. The table of `clew search` shows ids.")
    return hits[0]


def _segment_at(catalog: Catalog, location: str) -> int:
    moment = parse_timed_path(location)
    if moment is None:
        raise QueryError(
            f"{location!r} is not the location of a hit, such as `clip.mp4 @ 01:23.4`, or an id."
        )
    path = expand_user(moment[0]).absolute()
    segment = catalog.segment_at(path, moment[1])
    if segment is None:
        raise QueryError(f"Nothing that was found begins in {path} at {format_timestamp(moment[1])}.")
    return segment


def check_options(options: object) -> None:
    """Raise QueryError unless the value is a SearchOptions."""
    if not isinstance(options, SearchOptions):
        raise QueryError(f"Invalid options {_show(options)}. Use SearchOptions(after=2021, group=True).")


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_LENGTH else f"{text[:MAX_SHOWN_LENGTH]}..."
