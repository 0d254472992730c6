"""The ranking of one kind for one query: indexes propose candidates, the catalog's vectors order them."""

from collections.abc import Iterator

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.scoring.ranking import top_k
from retrieval.types import Ids, Scores, Space, Vectors
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex

PAGE_GROWTH = 4  # each page is this many times as large as the one before
OVERSAMPLING_FACTOR, MIN_EXTRA_CANDIDATES = 2, 20  # a quantized index may order its best slightly wrong
MAX_RESCORED_VECTORS = 1_000  # candidates read to make sure of the order under a filter
SCORE_TOLERANCE = 1e-5  # scores that differ by less are equal

_NO_IDS: Ids = np.empty(0, np.int64)
_NO_SCORES: Scores = np.empty(0, np.float32)


class KindRanking:
    """Candidates with their exact scores, yielded best first and extended on demand.

    Each vector is read and scored once. Without `unindexed` only the candidates that were added are ranked.
    """

    def __init__(
        self,
        catalog: Catalog,
        space: Space,
        query: Vectors,
        unindexed: ExactIndex | None = None,
        index: FaissIndex | None = None,
        allowed: Ids | None = None,
    ) -> None:
        self.catalog = catalog
        self.space = space
        self.query = query  # (1, d)
        self.unindexed = unindexed
        self.index = index
        self.allowed = allowed
        self._ids, self._scores = _NO_IDS, _NO_SCORES  # all candidates, by id
        self._yielded = _NO_IDS
        self._proposed = 0  # the number of candidates last requested from each index
        self._bound = -np.inf  # no vector that was not proposed scores higher
        self._is_complete = unindexed is None

    def pages(self, page_size: int) -> Iterator[tuple[Scores, Ids]]:
        """Yield scores and ids, best first and equal scores by id, in pages of growing size."""
        while True:
            scores, ids = self._next_page(page_size)
            if not len(ids):
                return
            yield scores, ids
            self._yielded = np.concatenate([self._yielded, ids])
            page_size *= PAGE_GROWTH

    def add(self, ids: Ids) -> None:
        """Read and score the candidates that are new."""
        new = np.setdiff1d(ids, self._ids) if len(self._ids) else ids
        new, vectors = self.catalog.vectors_of(self.space, new)
        scores = np.einsum("qd,nd->qn", self.query, vectors)[0]  # equal for equal vectors, unlike BLAS
        if not len(self._ids):
            self._ids, self._scores = new, scores
            return
        at = np.searchsorted(self._ids, new)
        self._ids, self._scores = np.insert(self._ids, at, new), np.insert(self._scores, at, scores)

    def _next_page(self, count: int) -> tuple[Scores, Ids]:
        """Return the best `count` candidates that were not yielded, fewer only if no more exist."""
        while True:
            scores, ids = self._best(count)
            total = len(self._yielded) + count
            if self._is_complete:
                return scores, ids
            if self._proposed >= _candidate_count(total) and len(ids) == count and scores[-1] >= self._bound:
                return scores, ids
            self._propose(max(PAGE_GROWTH * self._proposed, _candidate_count(total)))

    def _best(self, count: int) -> tuple[Scores, Ids]:
        scores, ids = self._scores, self._ids
        if len(self._yielded):
            pending = np.isin(ids, self._yielded, invert=True)
            scores, ids = scores[pending], ids[pending]
        best, order = top_k(scores[None], ids, min(count, len(ids)))
        return best[0], order[0]

    def _propose(self, count: int) -> None:
        """Add the best `count` candidates of the index and of the vectors that it does not cover."""
        assert self.unindexed is not None
        size = len(self.unindexed) + (0 if self.index is None else len(self.index))
        _, near = self.unindexed.search(self.query, min(count, size), self.allowed)
        index_scores, index_ids = self._search_index(count)
        ids = np.concatenate([near[near >= 0], index_ids])
        self.add(ids)
        self._proposed = count
        self._is_complete = len(ids) < count
        self._bound = -np.inf
        # Vectors that were deleted take places among the candidates, so a filtered index may hold some back.
        if (
            self.allowed is not None
            and len(index_ids) == count
            and PAGE_GROWTH * count <= MAX_RESCORED_VECTORS
        ):
            self._bound = self._upper_bound(index_scores, index_ids)

    def _search_index(self, count: int) -> tuple[Scores, Ids]:
        if self.index is None:
            return _NO_SCORES, _NO_IDS
        scores, ids = self.index.search(self.query, min(count, len(self.index)), self.allowed)
        return scores[ids >= 0], ids[ids >= 0]

    def _upper_bound(self, index_scores: Scores, index_ids: Ids) -> float:
        """Return the highest score that a vector can have that the index did not propose.

        The scores of a quantized index have errors. The largest error among its proposals is known; among
        the many other vectors it may be twice as large.
        """
        if not len(self._ids):  # all proposals were deleted vectors
            return float(index_scores[-1])
        rows = np.minimum(np.searchsorted(self._ids, index_ids), len(self._ids) - 1)
        known = self._ids[rows] == index_ids
        error = np.abs(self._scores[rows] - index_scores)[known].max(initial=0.0)
        return float(index_scores[-1] + 2 * error - SCORE_TOLERANCE)


def _candidate_count(count: int) -> int:
    return OVERSAMPLING_FACTOR * count + MIN_EXTRA_CANDIDATES
