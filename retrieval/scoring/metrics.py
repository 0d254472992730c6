"""How good a ranking is: scores and what is relevant in, numbers out.

Equal scores have no order. Every measure is its mean over all orders of the equals (McSherry & Najork, ECIR
2008), so that nothing depends on how things happen to be stored.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

QueryValues = NDArray[np.float64]  # (q,), one of each query
RankValues = NDArray[np.float64]  # (q, n), one of each place of each ranking
Flags = NDArray[np.bool_]
Numbers = NDArray[np.floating[Any]]
BOOTSTRAP_RESAMPLES, RESAMPLES_PER_BATCH = 2_000, 100  # of a bootstrap


@dataclass(frozen=True, slots=True)
class Ranking:
    """What stands at each place of each query's ranking, (q, n), best first.

    `gains` is the chance that the thing at a place is relevant, `first` that it is the first relevant one,
    `precise` the expected precision up to the place where the thing there is relevant, else 0. `wanted`,
    (q,), is how many relevant things there are, found or not.
    """

    gains: RankValues
    first_relevant: RankValues
    precisions: RankValues
    relevant_count: NDArray[np.int64]

    @classmethod
    def from_scores(
        cls, scores: Numbers, relevant: Flags, relevant_count: NDArray[np.int64] | None = None
    ) -> "Ranking":
        """Rank things, (q, n), by their scores; `wanted` counts what is relevant beyond them, too."""
        order = np.argsort(-scores, axis=1, kind="stable")
        ranked = np.take_along_axis(scores, order, axis=1)
        hits = np.take_along_axis(relevant, order, axis=1)
        start, end = _tie_bounds(ranked)
        seen = np.cumsum(np.pad(hits, ((0, 0), (1, 0))), axis=1)  # relevant before each place
        above = np.take_along_axis(seen, start, axis=1)
        good: NDArray[np.int64] = np.take_along_axis(seen, end, axis=1) - above  # relevant among the equals
        size, turn = end - start, np.arange(scores.shape[1]) - start  # turn: equals before this place
        gains = good / size
        # What comes at its turn is relevant, if none of the equals before it was, by this chance.
        chance = np.minimum(good / (size - turn), 1.0)
        none_yet = np.cumprod(1 - chance, axis=1)
        first = chance * np.pad(none_yet[:, :-1], ((0, 0), (1, 0)), constant_values=1.0)
        before = above + turn * (good - 1) / np.maximum(size - 1, 1)  # relevant before a relevant one
        precise = gains * (before + 1) / np.arange(1, scores.shape[1] + 1)
        return cls(gains, first, precise, relevant.sum(axis=1) if relevant_count is None else relevant_count)


def hit_rate_at(ranking: Ranking, k: int) -> QueryValues:
    """Return the chance that a relevant thing is among the first k: recall as CLIP papers count it."""
    return np.asarray(ranking.first_relevant[:, :k].sum(axis=1))


def recall_at(ranking: Ranking, k: int) -> QueryValues:
    """Return the share of the relevant things that are among the first k."""
    return np.asarray(ranking.gains[:, :k].sum(axis=1) / np.maximum(ranking.relevant_count, 1))


def precision_at(ranking: Ranking, k: int) -> QueryValues:
    """Return the share of the first k places that hold a relevant thing."""
    return np.asarray(ranking.gains[:, :k].sum(axis=1) / k)


def reciprocal_rank(ranking: Ranking) -> QueryValues:
    """Return 1 / rank of the first relevant thing, 0 where there is none. Voorhees, TREC-8 1999."""
    return np.asarray(
        (ranking.first_relevant / np.arange(1, ranking.first_relevant.shape[1] + 1)).sum(axis=1)
    )


def average_precision(ranking: Ranking) -> QueryValues:
    """Return the mean precision at the relevant things; those that were not found count as 0.

    Buckley & Voorhees, SIGIR 2000. Its mean over queries is mAP.
    """
    return np.asarray(ranking.precisions.sum(axis=1) / np.maximum(ranking.relevant_count, 1))


def ndcg_at(ranking: Ranking, k: int) -> QueryValues:
    """Return the discounted gain among the first k over the best possible.

    Järvelin & Kekäläinen, TOIS 2002, with gains of 0 and 1.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gained = ranking.gains[:, :k] @ discounts[: ranking.gains.shape[1]]
    best = np.concatenate([[1.0], np.cumsum(discounts)])  # where nothing is relevant, 0 of 1
    return np.asarray(gained / best[np.minimum(ranking.relevant_count, k)])


def first_relevant_rank(ranking: Ranking) -> QueryValues:
    """Return where the first relevant thing stands, infinite where there is none."""
    ranks = (ranking.first_relevant * np.arange(1, ranking.first_relevant.shape[1] + 1)).sum(axis=1)
    return np.where(ranking.first_relevant.any(axis=1), ranks, np.inf)


def _tie_bounds(ranked: Numbers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, (q, n) each, where the run of equals begins that a place lies in, and where it ends."""
    size = ranked.shape[1]
    new = np.ones((len(ranked), size + 1), dtype=bool)
    new[:, 1:-1] = ranked[:, 1:] != ranked[:, :-1]
    places = np.arange(size + 1)
    start = np.maximum.accumulate(np.where(new, places, 0)[:, :-1], axis=1)
    after = np.where(new, places, size)[:, 1:]
    end = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
    return start, end


def roc_auc(scores: Numbers, truth: Flags) -> float:
    """Return the chance that a true thing scores above a false one, (n,) each; equals count half.

    The area under the ROC curve: Hanley & McNeil, Radiology 1982. There must be both true and false.
    """
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]  # of equals, the middle
    true = int(truth.sum())
    false = len(truth) - true
    return float((ranks[truth].sum() - true * (true + 1) / 2) / (true * false))


def error_rates(scores: Numbers, truth: Flags, threshold: float) -> tuple[float, float]:
    """Return the shares of false things at or above the threshold, and of true things below it."""
    return float((scores[~truth] >= threshold).mean()), float((scores[truth] < threshold).mean())


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more the new has than the old, in the mean, and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """Say whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


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
    drawn together, because five captions of one picture tell less than those of five pictures.
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
