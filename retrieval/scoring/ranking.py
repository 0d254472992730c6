"""Arithmetic of ranked lists: arrays in, arrays out."""

from collections.abc import Hashable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval.types import Ids, Scores, Vectors

Key = TypeVar("Key", bound=Hashable)

SCORE_TOLERANCE = 1e-5  # that equal cosines differ by


def top_k(scores: Scores, ids: Ids, count: int) -> tuple[Scores, Ids]:
    """Return the best `count` of each row, by score and then by id; -1 and -inf pad short rows.

    scores (q, n), ids (n,) -> scores (q, count), ids (q, count).
    """
    rows, size = scores.shape
    best = np.full((rows, count), -np.inf, dtype=np.float32)
    found = np.full((rows, count), -1, dtype=np.int64)
    for row in range(rows):
        near = np.arange(size)
        if size > count:  # all that score at least as high as the count-th, so that ties are ordered by id
            near = np.flatnonzero(scores[row] >= np.partition(scores[row], -count)[-count])
        order = near[np.lexsort((ids[near], -scores[row][near]))[:count]]
        best[row, : len(order)] = scores[row][order]
        found[row, : len(order)] = ids[order]
    return best, found


def standardize(scores: Scores, background: Scores, prior: Scores, *, weight: int = 10) -> Scores:
    """Return the standard deviations of each score above the mean of background scores, all (n,).

    This makes the scores of two sources comparable: Montague & Aslam, CIKM 2001. `prior` counts as `weight`
    scores, which matters if the background is small.
    """
    share = len(background) / (len(background) + weight)
    mean = share * background.mean() + (1 - share) * prior.mean()
    spread = share * background.var() + (1 - share) * prior.var()
    return np.asarray((scores - mean) / np.sqrt(spread + 1e-6), dtype=np.float32)


def diversify(
    scores: Scores, vectors: Vectors, weight: float, before: Vectors | None = None
) -> NDArray[np.int64]:
    """Return the rows in the order of maximal marginal relevance.

    Each next row has the largest (1 - weight) * score - weight * (cosine to the nearest row before it); the
    first of equals: Carbonell & Goldstein, SIGIR 1998. scores (n,), from 0 to 1, unit vectors (n, d) and,
    optionally, those that come before all rows, (m, d) -> rows (n,).
    """
    order = np.empty(len(scores), dtype=np.int64)
    value = scores.astype(np.float64)  # the first is the most relevant, whatever the weight
    nearest = np.full(len(scores), -np.inf)
    if before is not None and len(before):
        nearest = (vectors @ before.T).max(axis=1)
        value = (1 - weight) * scores - weight * nearest
    for position in range(len(scores)):
        order[position] = row = int(value.argmax())
        nearest = np.maximum(nearest, vectors @ vectors[row])
        value = (1 - weight) * scores - weight * nearest
        value[order[: position + 1]] = -np.inf
    return order


def recall(found_scores: Scores, true_scores: Scores) -> float:
    """Return the share of the true best that were found, from the true scores of both, (q, k)."""
    found, real = _found_counts(found_scores, true_scores)
    return float(found.sum() / max(1, real.sum()))


def query_recalls(found_scores: Scores, true_scores: Scores) -> NDArray[np.float64]:
    """Return the share of the true best that were found for each query, (q,)."""
    found, real = _found_counts(found_scores, true_scores)
    return np.asarray(found / np.maximum(1, real), np.float64)


def _found_counts(found_scores: Scores, true_scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many of the true best were found, and how many exist, (q,) each.

    Counted by score, so either of two equals is correct.
    """
    real = np.isfinite(true_scores)
    worst = np.where(real, true_scores, np.inf).min(axis=1, keepdims=True) - SCORE_TOLERANCE
    count = real.sum(axis=1)
    return np.minimum((found_scores >= worst).sum(axis=1), count), count
