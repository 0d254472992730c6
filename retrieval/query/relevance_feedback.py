"""Relevance feedback: train a probe on liked and unliked examples."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from retrieval.embedders.base import Embedder
from retrieval.errors import QueryError
from retrieval.media.archives.archive import is_file
from retrieval.query.encoder import embed_image, file_digest
from retrieval.query.names import image_vectors
from retrieval.scoring.calibration import normalize_rows
from retrieval.scoring.linear_probe import Probe, fit_probe
from retrieval.system import expand_user
from retrieval.types import VISUAL_KINDS, Vectors
from retrieval.vectors.space_index import MAX_BACKGROUND_VECTORS, SpaceIndex

if TYPE_CHECKING:
    from PIL.Image import Image

FeedbackExample: TypeAlias = "int | str | Path | Image"  # a segment id, "#12", a file or an image


def fit_feedback_probe(
    space_index: SpaceIndex,
    embedder: Embedder,
    liked: "Sequence[FeedbackExample]",
    unliked: "Sequence[FeedbackExample]",
) -> Probe:
    """Fit a probe to at least one liked example; raises QueryError.

    Rocchio, 1971, as a ridge regression.
    """
    if not liked:
        raise QueryError(
            "--unlike requires --like. To subtract an image, write it in the query, as in "
            '"beach - #40"; to exclude images that match it, "beach not:#40".'
        )
    positive, negative = (
        np.array([_example_vector(space_index, embedder, example) for example in examples]).reshape(
            -1, embedder.dim
        )
        for examples in (liked, unliked)
    )
    return fit_probe(positive, negative, visual_background(space_index))


def visual_background(space_index: SpaceIndex) -> Vectors:
    """Return evenly spaced vectors of visual segments, (at most MAX_BACKGROUND_VECTORS, d)."""
    kinds = [space_index.background_vectors(kind) for kind in sorted(VISUAL_KINDS)]
    vectors = np.concatenate(kinds)
    rows = np.linspace(0, len(vectors) - 1, min(MAX_BACKGROUND_VECTORS, len(vectors)), dtype=np.int64)
    return normalize_rows(vectors[rows])


def example_segments(space_index: SpaceIndex, examples: "Iterable[FeedbackExample]") -> frozenset[int]:
    """Return the segments of the examples and of their copies, which are not returned as hits."""
    segments = set[int]()
    for example in examples:
        if isinstance(example, int):
            segments.add(example)
        elif isinstance(example, str | Path) and is_file(expand_user(example)):
            segments |= set(space_index.catalog.segments_of(file_digest(expand_user(example))))
    return frozenset(segments)


def _example_vector(space_index: SpaceIndex, embedder: Embedder, example: "FeedbackExample") -> Vectors:
    """Return the (d,) vector of an example, from the library if it has one."""
    if isinstance(example, int):
        return _segment_vector(space_index, example)
    if isinstance(example, str | Path) and is_file(expand_user(example)):
        sha = file_digest(expand_user(example))
        known = image_vectors(space_index.catalog, space_index.space, [sha])
        if sha in known:
            return known[sha]
    return np.asarray(embed_image(embedder, example)[0], np.float32)


def _segment_vector(space_index: SpaceIndex, segment: int) -> Vectors:
    _, vectors = space_index.catalog.vectors_of(space_index.space, [segment])
    if not len(vectors):
        raise QueryError(f"No segment #{segment} in this library.")
    if space_index.catalog.kind_of(segment) not in VISUAL_KINDS:
        raise QueryError(
            f"Segment #{segment} is not visual, so it cannot be an example. Find similar segments with "
            f'`clew search "#{segment}"`.'
        )
    return np.asarray(normalize_rows(vectors)[0], np.float32)
