"""Relevance feedback: a concept without a name, from hits that are liked and others that are not."""

import hashlib
from collections.abc import Iterable, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from retrieval.catalog.concepts import image_vectors
from retrieval.embedders.base import Embedder
from retrieval.errors import QueryError
from retrieval.media.archives.archive import is_file, open_path
from retrieval.query.encoder import embed_image
from retrieval.scoring.calibration import normalize_rows
from retrieval.scoring.linear_probe import VISUAL_KINDS, Probe, fit_probe
from retrieval.types import Vectors
from retrieval.vectors.space_index import MAX_BACKGROUND_VECTORS, SpaceIndex

if TYPE_CHECKING:
    from PIL.Image import Image

FeedbackExample: TypeAlias = "int | str | Path | Image"  # a segment, "#12", a file or a picture


def as_examples(examples: "FeedbackExample | Iterable[FeedbackExample]") -> "list[FeedbackExample]":
    """Return examples as a list, one alone as a list of one; "#12" as its segment 12."""
    if isinstance(examples, int | str | Path) or not isinstance(examples, Iterable):
        examples = [examples]
    return [one if (segment := parse_segment_id(one)) is None else segment for one in examples]


def parse_segment_id(example: object) -> int | None:
    """Return the segment that "#12" names; None of anything else."""
    text = example[1:] if isinstance(example, str) and example.startswith("#") else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def fit_feedback_probe(
    space_index: SpaceIndex,
    embedder: Embedder,
    liked: "Sequence[FeedbackExample]",
    unliked: "Sequence[FeedbackExample]",
) -> Probe:
    """Learn what is liked from at least one picture (Rocchio, 1971, as a ridge); raises QueryError."""
    if not liked:
        raise QueryError(
            "What is not liked needs something liked beside it (--like). To take a thing away, write it in "
            'the query, as in "beach - #40"; to drop what surely shows it, "beach not:#40".'
        )
    positive, negative = (
        np.array([_example_vector(space_index, embedder, one) for one in some]).reshape(-1, embedder.dim)
        for some in (liked, unliked)
    )
    return fit_probe(positive, negative, visual_background(space_index))


def visual_background(space_index: SpaceIndex) -> Vectors:
    """Return vectors of what is seen from all over the library, (at most BACKGROUND, d)."""
    kinds = [space_index.background_vectors(kind) for kind in sorted(VISUAL_KINDS)]
    every = np.concatenate(kinds)
    at = np.linspace(0, len(every) - 1, min(MAX_BACKGROUND_VECTORS, len(every)), dtype=np.int64)
    return normalize_rows(every[at])


def example_segments(space_index: SpaceIndex, examples: "Iterable[FeedbackExample]") -> frozenset[int]:
    """Return the segments that examples are, copies of a file among them: they are no answers."""
    found = set[int]()
    for one in examples:
        if isinstance(one, int):
            found.add(one)
        elif isinstance(one, str | Path) and is_file(Path(one).expanduser()):
            found |= set(space_index.catalog.segments_of(file_digest(Path(one).expanduser())))
    return frozenset(found)


def file_digest(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    with cast(BufferedReader, open_path(path)) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _example_vector(space_index: SpaceIndex, embedder: Embedder, example: "FeedbackExample") -> Vectors:
    """Return the (d,) vector of an example: the library's own where it has one."""
    if isinstance(example, int):
        return _segment_vector(space_index, example)
    if isinstance(example, str | Path) and is_file(Path(example).expanduser()):
        sha = file_digest(Path(example).expanduser())
        known = image_vectors(space_index.catalog, space_index.space, [sha])
        if sha in known:
            return known[sha]
    return np.asarray(embed_image(embedder, example)[0], np.float32)


def _segment_vector(space_index: SpaceIndex, segment: int) -> Vectors:
    _, vectors = space_index.catalog.vectors_of(space_index.space, [segment])
    if not len(vectors):
        raise QueryError(f"There is no segment #{segment} in this library.")
    if space_index.catalog.kind_of(segment) not in VISUAL_KINDS:
        raise QueryError(
            f"#{segment} is no picture, which liking is learned from; search for what is like it with "
            f'`clew search "#{segment}"`.'
        )
    return np.asarray(normalize_rows(vectors)[0], np.float32)
