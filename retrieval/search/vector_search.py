"""Rank the segments of all kinds by their vectors, in one list."""

from collections.abc import Hashable, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import TypeAlias

from retrieval.scoring import calibration
from retrieval.search.kind_hits import deduplicate, kind_hits
from retrieval.search.query_scales import KindScale
from retrieval.search.request import SearchRequest
from retrieval.types import Hit, Ids

ScoredHit: TypeAlias = tuple[float, Hit]  # a score that compares across kinds


class VectorRanking:
    """The ranking of a request by meaning, evaluated on demand."""

    def __init__(self, request: SearchRequest) -> None:
        self.request = request
        self._hits: list[Hit] = []
        self._remaining: Iterator[Hit] | None = None

    def top(self, count: int) -> list[Hit]:
        """Return the best `count` hits, fewer only if no more exist; the first call sets the page size."""
        if self._remaining is None:
            self._remaining = (hit for _, hit in ranked_hits(self.request, count))
        self._hits += islice(self._remaining, max(0, count - len(self._hits)))
        return self._hits[:count]


def vector_search(request: SearchRequest, count: int = 10) -> list[Hit]:
    """Return the best `count` hits, best first."""
    return VectorRanking(request).top(count)


def ranked_hits(request: SearchRequest, page_size: int, among: Ids | None = None) -> Iterator[ScoredHit]:
    """Yield hits with their scores, best first; with `among`, ascending, only hits of these segments.

    Each kind is read in pages that begin with `page_size` hits. Hits of one kind are ordered by their cosine.
    Cosines of different kinds do not compare (a text is nearer to every text than to any image), so several
    kinds are merged by the scales of the query.
    """
    wanted = request.filters.kinds
    streams = [
        _scored_hits(
            kind_hits(request, kind, max(page_size, calibration.TOP_N), among), request.scales.of(kind)
        )
        for kind in request.catalog.kinds()
        if not wanted or kind in wanted
    ]
    if len(streams) == 1:
        yield from streams[0]
        return
    seen = set[Hashable]()
    for score, hit in merge(*streams, key=lambda scored_hit: (-scored_hit[0], scored_hit[1].id)):
        yield from ((score, first) for first in deduplicate([hit], seen))  # an image and its captions are one


def _scored_hits(pages: Iterable[list[Hit]], scale: KindScale) -> Iterator[ScoredHit]:
    """Yield each hit of a kind with its score."""
    for hits in pages:
        yield from scale.scored_hits(hits)
