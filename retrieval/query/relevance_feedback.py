"""Relevance feedback: a concept without a name, from hits that are liked and others that are not."""

import hashlib
from collections.abc import Iterable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from retrieval.catalog.concepts import picture_vectors
from retrieval.embedders.base import Embedder
from retrieval.errors import QueryError
from retrieval.media.archives.archive import is_file, open_place
from retrieval.query.encoder import embed_picture
from retrieval.scoring.calibration import unit
from retrieval.scoring.linear_probe import SEEN, Probe, fit
from retrieval.types import Vectors
from retrieval.vectors.space_index import BACKGROUND, Nearest

if TYPE_CHECKING:
    from PIL.Image import Image

Example: TypeAlias = "int | str | Path | Image"  # a segment, "#12", a file or a picture


def several(given: "Example | Iterable[Example]") -> "list[Example]":
    """Return examples as a list, one alone as a list of one; "#12" as its segment 12."""
    if isinstance(given, int | str | Path) or not isinstance(given, Iterable):
        given = [given]
    return [one if (segment := segment_of(one)) is None else segment for one in given]


def segment_of(given: object) -> int | None:
    """Return the segment that "#12" names; None of anything else."""
    text = given[1:] if isinstance(given, str) and given.startswith("#") else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def learn(
    nearest: Nearest, embedder: Embedder, liked: "Sequence[Example]", unliked: "Sequence[Example]"
) -> Probe:
    """Learn what is liked from at least one picture (Rocchio, 1971, as a ridge); raises QueryError."""
    if not liked:
        raise QueryError(
            "What is not liked needs something liked beside it (--like). To take a thing away, write it in "
            'the query, as in "beach - #40"; to drop what surely shows it, "beach not:#40".'
        )
    positive, negative = (
        np.array([_vector(nearest, embedder, one) for one in some]).reshape(-1, embedder.dim)
        for some in (liked, unliked)
    )
    return fit(positive, negative, background(nearest))


def background(nearest: Nearest) -> Vectors:
    """Return vectors of what is seen from all over the library, (at most BACKGROUND, d)."""
    kinds = [nearest.background(kind) for kind in sorted(SEEN)]
    every = np.concatenate(kinds)
    at = np.linspace(0, len(every) - 1, min(BACKGROUND, len(every)), dtype=np.int64)
    return unit(every[at])


def segments(nearest: Nearest, examples: "Iterable[Example]") -> frozenset[int]:
    """Return the segments that examples are, copies of a file among them: they are no answers."""
    found = set[int]()
    for one in examples:
        if isinstance(one, int):
            found.add(one)
        elif isinstance(one, str | Path) and is_file(Path(one).expanduser()):
            found |= set(nearest.catalog.segments_of(digest(Path(one).expanduser())))
    return frozenset(found)


def digest(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    with cast(BufferedReader, open_place(path)) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _vector(nearest: Nearest, embedder: Embedder, one: "Example") -> Vectors:
    """Return the (d,) vector of an example: the library's own where it has one."""
    if isinstance(one, int):
        return _vector_of_segment(nearest, one)
    if isinstance(one, str | Path) and is_file(Path(one).expanduser()):
        sha = digest(Path(one).expanduser())
        known = picture_vectors(nearest.catalog, nearest.space, [sha])
        if sha in known:
            return known[sha]
    return np.asarray(embed_picture(embedder, one)[0], np.float32)


def _vector_of_segment(nearest: Nearest, segment: int) -> Vectors:
    _, vectors = nearest.catalog.vectors_of(nearest.space, [segment])
    if not len(vectors):
        raise QueryError(f"There is no segment #{segment} in this library.")
    if nearest.catalog.kind_of(segment) not in SEEN:
        raise QueryError(
            f"#{segment} is no picture, which liking is learned from; search for what is like it with "
            f'`clew search "#{segment}"`.'
        )
    return np.asarray(unit(vectors)[0], np.float32)
