"""The ranking of one kind for one query: indexes propose candidates, the catalog's vectors order them."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.scoring.ranking import top_k
from retrieval.types import Ids, Scores, Space, Vectors
from retrieval.vectors.base import VectorIndex

PAGE_GROWTH = 4  # each page is this many times as large as the one before
MAX_GROWN_PAGE = 4_096  # segments; only the first page may be larger
OVERSAMPLING_FACTOR, MIN_EXTRA_CANDIDATES = 2, 20  # a quantized index may order its best slightly wrong
EXTRA_EXACT_CANDIDATES = 8  # beyond a page, so that usually none can come before its last one
MIN_EXACT_PROPOSALS = 512  # of an exact index, which compares all vectors for any number
MAX_RESCORED_VECTORS = 1_000  # candidates read to make sure of the order under a filter
MAX_DELETED_CANDIDATES = 200  # that are read; beyond, an index searches only vectors that exist
SCORE_TOLERANCE = 1e-5  # scores that differ by less are equal
ROUNDING_ERROR = 1e-6  # of the scores of an index for equal vectors

_NO_IDS: Ids = np.empty(0, np.int64)
_NO_SCORES: Scores = np.empty(0, np.float32)


class Proposal(NamedTuple):
    """The best candidates of an index that may hold more, by its own scores and by those of the catalog."""

    index_scores: Scores
    exact_scores: Scores  # NaN for vectors that were deleted

    def includes_ties(self, score: float) -> bool:
        """Return True if the index holds back no vector with this exact score.

        Equal vectors have equal scores in every index. The graph of hnsw may still miss a few of many.
        """
        tied = self.index_scores[self.exact_scores == score]
        lowest = tied.min() if len(tied) else score
        return bool(lowest > self.index_scores[-1] + ROUNDING_ERROR)

    def upper_bound(self) -> float:
        """Return the highest score that a vector can have that the index did not propose.

        The scores of a quantized index have errors. The largest error among its proposals is known; among
        the many other vectors it may be twice as large.
        """
        errors = np.abs(self.exact_scores - self.index_scores)
        return float(self.index_scores[-1] + 2 * np.nanmax(errors, initial=0.0) - SCORE_TOLERANCE)


class KindRanking:
    """Candidates with their exact scores, read best first and extended on demand.

    Each vector is read and scored once, however often the ranking is read. Equal scores are ordered by id, so
    more candidates are read until all that tie with the last one of a page are known. Without `indexes` only
    the candidates that were added are ranked. A vector may be in several indexes. Their deleted vectors are
    skipped; if many are near the query, only the ids of `existing` are searched.

    The scores of an exact index differ from those of the catalog's vectors by rounding only, so vectors are
    read in the order of the index, no more than a page needs.
    """

    def __init__(
        self,
        catalog: Catalog,
        space: Space,
        query: Vectors,
        indexes: Sequence[VectorIndex] = (),
        allowed: Ids | None = None,
        existing: Callable[[], Ids] | None = None,
    ) -> None:
        self.catalog = catalog
        self.space = space
        self.query = query  # (1, d)
        self.indexes = indexes
        self.allowed = allowed
        self.is_filtered = allowed is not None
        self.existing = existing
        self._deleted = 0  # candidates that were deleted, counted whenever one is proposed
        self._ids, self._scores = _NO_IDS, _NO_SCORES  # all candidates that were scored, by id
        self._pending_ids, self._pending_scores = _NO_IDS, _NO_SCORES  # the others, by the scores of indexes
        self._proposed = 0  # the number of candidates last requested from each index
        self._incomplete: list[Proposal] = []  # of the indexes that hold more candidates
        self._bound = -np.inf  # no vector that was not proposed scores higher
        self.is_exact = all(each.is_exact for each in self.indexes)
        self._is_complete = not indexes

    def top(self, count: int) -> Ids:
        """Return the ids of the best `count` candidates, fewer only if no more exist."""
        return self._next_page(count, _NO_IDS)[1]

    def pages(self, page_size: int, growth: int = PAGE_GROWTH) -> Iterator[tuple[Scores, Ids]]:
        """Yield scores and ids, best first and equal scores by id, in pages of growing size."""
        yielded, size, allowed = _NO_IDS, page_size, self.allowed
        while True:
            scores, ids = self._next_page(size, yielded)
            if not len(ids):
                return
            yield scores, ids
            yielded = np.concatenate([yielded, ids])
            size = max(size, min(growth * size, MAX_GROWN_PAGE))
            if self.allowed is not allowed and self.allowed is not None:  # begin again with small pages
                size, allowed = page_size, self.allowed
                yielded = yielded[np.isin(yielded, allowed)]

    def restrict(self, allowed: Ids) -> None:
        """Rank only these ids, ascending, from now on."""
        if allowed is self.allowed:
            return
        self.allowed, self._proposed = allowed, 0
        known, pending = (np.isin(ids, allowed) for ids in (self._ids, self._pending_ids))
        self._ids, self._scores = self._ids[known], self._scores[known]
        self._pending_ids, self._pending_scores = self._pending_ids[pending], self._pending_scores[pending]

    def add(self, ids: Ids) -> None:
        """Read and score the candidates that are new."""
        proposed = np.setdiff1d(ids, self._ids)
        new, vectors = self.catalog.vectors_of(self.space, proposed)
        self._deleted += len(proposed) - len(new)
        scores = np.einsum("qd,nd->qn", self.query, vectors)[0]  # equal for equal vectors, unlike BLAS
        if not len(self._ids):
            self._ids, self._scores = new, scores
            return
        at = np.searchsorted(self._ids, new)
        self._ids, self._scores = np.insert(self._ids, at, new), np.insert(self._scores, at, scores)

    def _next_page(self, count: int, yielded: Ids) -> tuple[Scores, Ids]:
        """Return the best `count` candidates that were not yielded, fewer only if no more exist."""
        if self.is_exact:
            return self._next_exact_page(count, yielded)
        wanted = _candidate_count(len(yielded) + count)
        while not self._is_complete:
            if self._proposed >= wanted:
                scores, ids = self._best(count, yielded)
                if len(ids) == count and self._is_settled(float(scores[-1])):
                    return scores, ids
            self._skip_deleted()
            self._propose(max(PAGE_GROWTH * self._proposed, wanted))
        return self._best(count, yielded)

    def _next_exact_page(self, count: int, yielded: Ids) -> tuple[Scores, Ids]:
        wanted = len(yielded) + count + EXTRA_EXACT_CANDIDATES
        while True:
            self._score_pending(wanted)
            scores, ids = self._best(count, yielded)
            is_settled = len(ids) == count and float(scores[-1]) > self._pending_bound()
            if is_settled or (self._is_complete and not len(self._pending_ids)):
                return scores, ids
            if len(self._pending_ids):
                wanted = PAGE_GROWTH * wanted
            else:
                self._skip_deleted()
                self._propose(max(PAGE_GROWTH * self._proposed, wanted, MIN_EXACT_PROPOSALS))

    def _is_settled(self, last_score: float) -> bool:
        """Return True if no vector that was not proposed comes before the last candidate of a page."""
        return last_score >= self._bound and all(
            proposal.includes_ties(last_score) for proposal in self._incomplete
        )

    def _pending_bound(self) -> float:
        """Return a score that no vector exceeds that was not scored, if all indexes are exact."""
        lowest = [float(proposal.index_scores[-1]) for proposal in self._incomplete]
        return max([*lowest, *self._pending_scores[:1].tolist()], default=-np.inf) + SCORE_TOLERANCE

    def _best(self, count: int, yielded: Ids) -> tuple[Scores, Ids]:
        scores, ids = self._scores, self._ids
        if len(yielded):
            remaining = np.isin(ids, yielded, invert=True)
            scores, ids = scores[remaining], ids[remaining]
        best, order = top_k(scores[None], ids, min(count, len(ids)))
        return best[0], order[0]

    def _score_pending(self, wanted: int) -> None:
        """Score the best pending candidates, until `wanted` were scored; deleted ones do not count."""
        while len(self._pending_ids) and (missing := wanted - len(self._ids)) > 0:
            self.add(self._pending_ids[:missing])
            self._pending_ids = self._pending_ids[missing:]
            self._pending_scores = self._pending_scores[missing:]

    def _skip_deleted(self) -> None:
        if self.allowed is None and self.existing and self._deleted > MAX_DELETED_CANDIDATES:
            self.restrict(self.existing())

    def _propose(self, count: int) -> None:
        """Add the best `count` candidates of each index."""
        proposals = [self._search(index, count) for index in self.indexes]
        ids = np.concatenate([ids for _, ids in proposals])
        self._proposed = count
        self._is_complete = all(len(ids) < count for _, ids in proposals)
        if self.is_exact:
            scores = np.concatenate([scores for scores, _ in proposals])
            order = np.argsort(-scores, kind="stable")
            order = order[np.isin(ids[order], self._ids, invert=True)]
            self._pending_ids, self._pending_scores = ids[order], scores[order]
        else:
            self.add(ids)
        self._incomplete = [
            Proposal(scores, self._exact_scores(ids)) for scores, ids in proposals if len(ids) == count
        ]
        self._bound = -np.inf
        # An approximate index with a filter proposes allowed vectors out of order.
        if self.is_filtered and PAGE_GROWTH * count <= MAX_RESCORED_VECTORS:
            self._bound = max((proposal.upper_bound() for proposal in self._incomplete), default=-np.inf)

    def _search(self, index: VectorIndex, count: int) -> tuple[Scores, Ids]:
        scores, ids = index.search(self.query, min(count, len(index)), self.allowed)
        return scores[ids >= 0], ids[ids >= 0]

    def _exact_scores(self, ids: Ids) -> Scores:
        """Return the scores of the catalog's vectors, NaN for those that were deleted."""
        if not len(self._ids):
            return np.full(len(ids), np.nan, np.float32)
        rows = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[rows] == ids, self._scores[rows], np.float32(np.nan))


def _candidate_count(count: int) -> int:
    return OVERSAMPLING_FACTOR * count + MIN_EXTRA_CANDIDATES
