"""Exact search, which compares every vector with the query; the oracle of the faster indexes."""

from retrieval.scoring.ranking import top_k
from retrieval.types import Ids, Scores, Vectors
from retrieval.vectors.id_filter import IdFilter

MAX_COPIED_SHARE = 0.1  # of the rows; above it, comparing all rows is faster than copying the allowed ones


class ExactIndex:
    """An exact index of ascending ids (n,) and their unit vectors (n, d)."""

    is_exact = True

    def __init__(self, ids: Ids, vectors: Vectors) -> None:
        self.ids = ids
        self.vectors = vectors
        self._id_filter = IdFilter(ids)

    def without(self, first: int) -> "ExactIndex":
        """Return the index without its first rows; itself if there are none to leave out."""
        return ExactIndex(self.ids[first:], self.vectors[first:]) if first else self

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return the best `count`, by score and then by id."""
        if allowed is None:
            return top_k(queries @ self.vectors.T, self.ids, count)
        rows = self._id_filter.rows(allowed)
        if len(rows) > MAX_COPIED_SHARE * len(self):
            return top_k((queries @ self.vectors.T)[:, rows], self.ids[rows], count)
        return top_k(queries @ self.vectors[rows].T, self.ids[rows], count)
