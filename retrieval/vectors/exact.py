"""Every vector is compared with the query: the truth that faster indexes are held to."""

import numpy as np

from retrieval.rank import top
from retrieval.records import Ids, Scores, Vectors


class ExactIndex:
    """Compare all rows: ids (n,), ascending, and their unit vectors (n, d)."""

    def __init__(self, ids: Ids, vectors: Vectors) -> None:
        self.ids = ids
        self.vectors = vectors

    def __len__(self) -> int:
        return len(self.ids)

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return the best `count`, by score and then by id."""
        ids, vectors = self.ids, self.vectors
        if allowed is not None:
            keep = np.isin(ids, allowed)
            ids, vectors = ids[keep], vectors[keep]
        return top(queries @ vectors.T, ids, count)
