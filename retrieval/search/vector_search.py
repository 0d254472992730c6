"""Rank the segments of all kinds by their vectors, in one list."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from heapq import merge
from itertools import chain, islice
from typing import TypeAlias

import numpy as np

from retrieval.scoring import calibration
from retrieval.scoring.ranking import standardize
from retrieval.search.kind_hits import deduplicate, kind_hits
from retrieval.search.request import SearchRequest
from retrieval.types import VISUAL_KINDS, Hit, Kind, Scores

# From the cosines of one kind to numbers that compare across kinds, in the same order: (n,) -> (n,).
Scale: TypeAlias = Callable[[Scores], Scores]


class VectorRanking:
    """The ranking of a request by meaning, evaluated on demand."""

    def __init__(self, request: SearchRequest) -> None:
        self.request = request
        self._hits: list[Hit] = []
        self._remaining: Iterator[Hit] | None = None

    def top(self, count: int) -> list[Hit]:
        """Return the best `count` hits, fewer only if no more exist; the first call sets the page size."""
        if self._remaining is None:
            self._remaining = ranked_hits(self.request, count)
        self._hits += islice(self._remaining, max(0, count - len(self._hits)))
        return self._hits[:count]


def vector_search(request: SearchRequest, count: int = 10) -> list[Hit]:
    """Return the best `count` hits, best first."""
    return VectorRanking(request).top(count)


def ranked_hits(request: SearchRequest, page_size: int) -> Iterator[Hit]:
    """Yield hits, best first; each kind is read in pages that begin with `page_size` hits.

    Hits of one kind are ordered by their cosine. Cosines of different kinds do not compare (a text is nearer
    to every text than to any image), so several kinds are merged by how far each hit stands out from the
    best hits of background queries in its kind. A concept learned from images is searched in visual kinds,
    unless other kinds are requested.
    """
    pages = {
        kind: kind_hits(request, kind, max(page_size, calibration.TOP_N)) for kind in _searched_kinds(request)
    }
    first = {kind: hits for kind, rest in pages.items() if (hits := _take(rest, calibration.TOP_N))}
    scales = {kind: _calibrated_scale(request, kind, hits) for kind, hits in first.items()}
    streams = [
        _scored_hits(chain([first[kind]], pages[kind]), scales[kind], order)
        for kind, order in _merge_order(request, scales).items()
    ]
    if len(streams) == 1:
        yield from (hit for _, hit in streams[0])
        return
    seen = set[Hashable]()
    for _, hit in merge(*streams, key=lambda scored_hit: (-scored_hit[0], scored_hit[1].id)):
        yield from deduplicate([hit], seen)  # an image and its captions are one result


def has_good_match(hits: Sequence[Hit]) -> bool:
    """Return True if a hit is better than those of background queries, or if that is unknown."""
    return any(hit.match != "weak" for hit in hits)


@dataclass(frozen=True, slots=True)
class CalibratedScale:
    """A scale in standard deviations above the best hits of background queries."""

    z_scores: Scale
    usual: float | None = None  # the cosine that half of the background queries reach

    def annotate(self, hits: Sequence[Hit]) -> list[Hit]:
        """Return the hits with their confidence."""
        return [
            replace(hit, confidence=round(calibration.confidence(z), 4), usual=self.usual)
            for hit, z in zip(hits, self.z_scores(_cosines(hits)).tolist(), strict=True)
        ]


def _searched_kinds(request: SearchRequest) -> list[Kind]:
    existing = request.catalog.kinds()
    wanted = request.filters.kinds or (VISUAL_KINDS if request.query.probe else existing)
    return [kind for kind in existing if kind in wanted]


def _take(pages: Iterable[list[Hit]], count: int) -> list[Hit]:
    """Return the hits of as many pages as hold `count` of them."""
    hits: list[Hit] = []
    for page in pages:
        hits += page
        if len(hits) >= count:
            break
    return hits


def _calibrated_scale(request: SearchRequest, kind: Kind, first: Sequence[Hit]) -> CalibratedScale | None:
    """Return the scale of a kind, None before it is calibrated; `first` are its best hits, at least TOP_N."""
    query, space_index = request.query, request.space_index
    if query.probe is not None and kind in VISUAL_KINDS:
        return CalibratedScale(query.probe.z_scores)
    known, mean = space_index.calibrations.get((query.mode, kind)), space_index.mean_query(query.mode)
    if known is None or mean is None:
        return None
    nearest = [hit.id for hit in first[: calibration.TOP_N]]
    vectors = request.catalog.vectors_of(space_index.space, nearest)[1]
    baseline = calibration.baseline_score(query.vector[0], vectors, mean)
    return CalibratedScale(partial(known.z_scores, baseline=baseline), round(baseline + known.center, 4))


def _merge_order(
    request: SearchRequest, scales: Mapping[Kind, CalibratedScale | None]
) -> Mapping[Kind, Scale]:
    """Return the scale by which each kind is merged with the others.

    While a library is being indexed, some kinds are not calibrated. Then all are merged by how far hits
    stand out from other segments of their kind.
    """
    calibrated = {kind: scale.z_scores for kind, scale in scales.items() if scale is not None}
    if len(calibrated) == len(scales):
        return calibrated
    vector, space_index = request.query.vector, request.space_index
    background = {kind: (vector @ space_index.background_vectors(kind).T)[0] for kind in scales}
    prior = np.concatenate(list(background.values()))
    return {kind: partial(standardize, background=background[kind], prior=prior) for kind in scales}


def _scored_hits(
    pages: Iterable[list[Hit]], scale: CalibratedScale | None, order: Scale
) -> Iterator[tuple[float, Hit]]:
    """Yield each hit of a kind, annotated, with its score in `order`."""
    for hits in pages:
        scores = order(_cosines(hits)).tolist()
        yield from zip(scores, hits if scale is None else scale.annotate(hits), strict=True)


def _cosines(hits: Sequence[Hit]) -> Scores:
    return np.array([hit.score for hit in hits], np.float32)
