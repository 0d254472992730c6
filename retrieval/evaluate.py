"""How good a ranking is: scores and what is relevant in, numbers out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.records import Scores, Vectors

Ranks = NDArray[np.float64]  # (q,), 1 is first
CHUNK = 1_000  # queries compared with everything at once


def first_ranks(scores: Scores, relevant: NDArray[np.bool_]) -> Ranks:
    """Return where each query's best relevant item stands, (q, n) -> (q,); among equals, in the middle.

    Every query needs a relevant item.
    """
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    others = ~relevant
    above = ((scores > best) & others).sum(axis=1)
    equal = ((scores == best) & others).sum(axis=1)
    return np.asarray(1 + above + equal / 2, dtype=np.float64)


def recall_at(ranks: Ranks, k: int) -> float:
    """Return the share of queries with a relevant item among the first k (as CLIP papers count)."""
    return float((ranks <= k).mean())


def mean_reciprocal_rank(ranks: Ranks) -> float:
    """Return the mean of 1 / rank. Voorhees, TREC-8 1999."""
    return float((1 / ranks).mean())


def ndcg_at(scores: Scores, relevant: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """Return each query's discounted gain among the first k over the best possible, (q, n) -> (q,).

    Järvelin & Kekäläinen, TOIS 2002, with gains of 0 and 1.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    discounts = 1 / np.log2(np.arange(2, order.shape[1] + 2))
    gained = (np.take_along_axis(relevant, order, axis=1) * discounts).sum(axis=1)
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    best = ideal[np.minimum(relevant.sum(axis=1), order.shape[1])]
    return np.asarray(gained / np.maximum(best, 1e-12), dtype=np.float64)


def measure(queries: Vectors, gallery: Vectors, relevant: "Relevant") -> dict[str, float]:
    """Measure a search of every query, (q, d), in the gallery, (n, d), a chunk at a time.

    Recall is in per cent, MRR and nDCG@10 in [0, 1], the median rank from 1.
    """
    ranks, gains = [], []
    for start in range(0, len(queries), CHUNK):
        rows = slice(start, start + CHUNK)
        scores = queries[rows] @ gallery.T
        ranks.append(first_ranks(scores, relevant(rows)))
        gains.append(ndcg_at(scores, relevant(rows), 10))
    every = np.concatenate(ranks)
    return {
        **{f"recall@{k}": round(100 * recall_at(every, k), 2) for k in (1, 5, 10)},
        "mrr": round(mean_reciprocal_rank(every), 4),
        "ndcg@10": round(float(np.concatenate(gains).mean()), 4),
        "median_rank": float(np.median(every)),
    }


class Relevant:
    """What is relevant to which query: where the two have the same owner."""

    def __init__(self, queries: NDArray[Any], gallery: NDArray[Any]) -> None:
        self.queries = queries
        self.gallery = gallery

    def __call__(self, rows: slice) -> NDArray[np.bool_]:
        """Return (rows, n), true where relevant."""
        return np.asarray(self.queries[rows, None] == self.gallery[None, :])
