"""Measures of ranking quality, from scores and relevance.

Equal scores have no order. Every measure is the mean over all orders of equal scores (McSherry & Najork, ECIR
2008), so it does not depend on the order of storage.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

QueryValues = NDArray[np.float64]  # (q,), one for each query
RankValues = NDArray[np.float64]  # (q, n), one for each rank of each query
Flags = NDArray[np.bool_]
Numbers = NDArray[np.floating[Any]]
BOOTSTRAP_RESAMPLES, RESAMPLES_PER_BATCH = 2_000, 100


@dataclass(frozen=True, slots=True)
class Ranking:
    """The rankings of q queries, with values for each rank, (q, n), best first."""

    gains: RankValues  # probability that the item is relevant
    first_relevant: RankValues  # probability that it is the first relevant item
    precisions: RankValues  # expected precision up to this rank, times `gains`
    relevant_count: NDArray[np.int64]  # (q,), the number of relevant items, found or not

    @classmethod
    def from_scores(
        cls, scores: Numbers, relevant: Flags, relevant_count: NDArray[np.int64] | None = None
    ) -> "Ranking":
        """Rank items, (q, n), by their scores; `relevant_count` may include further items."""
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(scores, order, axis=1)
        hits = np.take_along_axis(relevant, order, axis=1)
        start, end = _tie_bounds(ranked)
        seen = np.cumsum(np.pad(hits, ((0, 0), (1, 0))), axis=1)  # relevant before each rank
        above = np.take_along_axis(seen, start, axis=1)
        good: NDArray[np.int64] = np.take_along_axis(seen, end, axis=1) - above  # relevant among equal scores
        size, turn = end - start, np.arange(scores.shape[1]) - start  # turn: equal scores before this rank
        gains = good / size
        # Probability that an item is relevant if none of the equal scores before it was.
        chance = np.minimum(good / (size - turn), 1.0)
        none_yet = np.cumprod(1 - chance, axis=1)
        first = chance * np.pad(none_yet[:, :-1], ((0, 0), (1, 0)), constant_values=1.0)
        before = above + turn * (good - 1) / np.maximum(size - 1, 1)  # relevant items before a relevant one
        precise = gains * (before + 1) / np.arange(1, scores.shape[1] + 1)
        return cls(gains, first, precise, relevant.sum(axis=1) if relevant_count is None else relevant_count)


def hit_rate_at(ranking: Ranking, k: int) -> QueryValues:
    """Return the probability of a relevant item among the first k: recall in CLIP papers."""
    return np.asarray(ranking.first_relevant[:, :k].sum(axis=1))


def recall_at(ranking: Ranking, k: int) -> QueryValues:
    """Return the share of the relevant items that are among the first k."""
    return np.asarray(ranking.gains[:, :k].sum(axis=1) / np.maximum(ranking.relevant_count, 1))


def precision_at(ranking: Ranking, k: int) -> QueryValues:
    """Return the share of the first k items that are relevant."""
    return np.asarray(ranking.gains[:, :k].sum(axis=1) / k)


def reciprocal_rank(ranking: Ranking) -> QueryValues:
    """Return 1 / rank of the first relevant item, 0 if none was found. Voorhees, TREC-8 1999."""
    return np.asarray(
        (ranking.first_relevant / np.arange(1, ranking.first_relevant.shape[1] + 1)).sum(axis=1)
    )


def average_precision(ranking: Ranking) -> QueryValues:
    """Return the mean precision at the relevant items; those not found count as 0.

    Buckley & Voorhees, SIGIR 2000. Its mean over queries is mAP.
    """
    return np.asarray(ranking.precisions.sum(axis=1) / np.maximum(ranking.relevant_count, 1))


def ndcg_at(ranking: Ranking, k: int) -> QueryValues:
    """Return the discounted gain among the first k over the best possible.

    Järvelin & Kekäläinen, TOIS 2002, with gains of 0 and 1.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gained = ranking.gains[:, :k] @ discounts[: ranking.gains.shape[1]]
    best = np.concatenate([[1.0], np.cumsum(discounts)])  # 1 if nothing is relevant, so that the result is 0
    return np.asarray(gained / best[np.minimum(ranking.relevant_count, k)])


def first_relevant_rank(ranking: Ranking) -> QueryValues:
    """Return the rank of the first relevant item, infinite if none was found."""
    ranks = (ranking.first_relevant * np.arange(1, ranking.first_relevant.shape[1] + 1)).sum(axis=1)
    return np.where(ranking.first_relevant.any(axis=1), ranks, np.inf)


def _tie_bounds(ranked: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the start and end, (q, n) each, of the run of equal scores that contains each rank."""
    size = ranked.shape[1]
    new = np.ones((len(ranked), size + 1), dtype=bool)
    new[:, 1:-1] = ranked[:, 1:] != ranked[:, :-1]
    places = np.arange(size + 1)
    start = np.maximum.accumulate(np.where(new, places, 0)[:, :-1], axis=1)
    after = np.where(new, places, size)[:, 1:]
    end = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
    return start, end


def roc_auc(scores: Numbers, truth: Flags) -> float:
    """Return the probability that a true item scores above a false one, (n,) each; equals count half.

    The area under the ROC curve: Hanley & McNeil, Radiology 1982. Both classes are required.
    """
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]  # the mean rank of equal scores
    true = int(truth.sum())
    false = len(truth) - true
    return float((ranks[truth].sum() - true * (true + 1) / 2) / (true * false))


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean difference of new and old, and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """Return True if the interval excludes 0."""
        return self.low > 0 or self.high < 0


def wilson_lower_bound(values: QueryValues, *, confidence: float = 0.95) -> float:
    """Return what the mean over all queries exceeds with a confidence, from values in [0, 1] of some, (q,).

    The score interval of a proportion (Wilson, JASA 1927) for as many zeros and ones as are as uncertain, as
    for clusters in Dean & Pagano, Journal of Survey Statistics and Methodology 2015. One zero more counts for
    the spread, because a sample with few low values shows too little of it.
    """
    mean, more = float(values.mean()), np.append(values, 0.0)
    if not mean:
        return 0.0
    trials = len(values) * more.mean() * (1 - more.mean()) / more.var()
    squared = NormalDist().inv_cdf(confidence) ** 2 / trials
    deviation = sqrt(squared * mean * (1 - mean) + squared**2 / 4)
    return float((mean + squared / 2 - deviation) / (1 + squared))


def bootstrap(
    old: QueryValues,
    new: QueryValues,
    *,
    groups: NDArray[np.int64] | None = None,
    resamples: int = BOOTSTRAP_RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Return the mean of new - old, (q,) each, of the same queries, and its 95 % interval.

    Percentiles of a paired bootstrap: Efron & Tibshirani 1993; Koehn, EMNLP 2004. Queries of one group are
    drawn together, because five captions of one image are not independent.
    """
    differences = np.asarray(new, dtype=np.float64) - old
    _, owners = np.unique(np.arange(len(differences)) if groups is None else groups, return_inverse=True)
    sums, sizes = np.bincount(owners, differences), np.bincount(owners)
    draw = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, RESAMPLES_PER_BATCH):
        drawn = draw.integers(len(sums), size=(min(RESAMPLES_PER_BATCH, resamples - start), len(sums)))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Difference(float(differences.mean()), float(low), float(high))
