"""Measure a search: the measures of every query, their means, and how two searches differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.scoring.metrics import (
    Difference,
    Flags,
    Ranking,
    Values,
    average_precision,
    bootstrap,
    first_rank,
    hit_at,
    ndcg_at,
    precision_at,
    recall_at,
    reciprocal_rank,
)
from retrieval.types import Vectors

CELLS = 1_000_000  # scores looked at at once
CURVE = 100  # recall@1 to recall@100


@dataclass(frozen=True, slots=True)
class Measured:
    """The measures of every query: name -> (q,), recall in per cent, NaN where one has no meaning.

    `curve` is the mean recall@1, recall@2 ... in per cent. `items` tells queries apart, to pair them with
    those of another measuring; `groups` says which belong together, as the captions of one picture do.
    """

    each: Mapping[str, Values]
    curve: Values
    items: NDArray[np.int64]
    groups: NDArray[np.int64]

    def summary(self) -> dict[str, float]:
        """Return the mean of each measure, and of ranks the median."""
        known = {name: values[~np.isnan(values)] for name, values in self.each.items()}
        return {
            name: float(np.median(values)) if name == "median_rank" else digits(name, values.mean())
            for name, values in known.items()
            if len(values)
        }


def digits(name: str, value: float) -> float:
    """Round a measure: per cents to two digits, shares to four."""
    return round(float(value), 2 if "recall" in name else 4)


def measures(ranking: Ranking) -> dict[str, Values]:
    """Return the measures of every query by the names under which all doors show them.

    `recall@k` is in the any-hit sense of CLIP papers, `true_recall@10` the share that was found.
    """
    return {
        **{f"recall@{k}": 100 * hit_at(ranking, k) for k in (1, 5, 10)},
        "mrr": reciprocal_rank(ranking),
        "ndcg@10": ndcg_at(ranking, 10),
        "median_rank": first_rank(ranking),
        "true_recall@10": 100 * recall_at(ranking, 10),
        "precision@10": precision_at(ranking, 10),
        "map": average_precision(ranking),
    }


def measure(
    queries: Vectors,
    gallery: Vectors,
    relevant: "Relevant",
    *,
    items: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Measured:
    """Measure a search of every query, (q, d), in the gallery, (n, d), some rows at a time."""
    every, curves = list[dict[str, Values]](), list[Values]()
    columns = gallery.T.astype(np.float64)
    rows = max(1, CELLS // len(gallery))
    for start in range(0, len(queries), rows):
        part = slice(start, start + rows)
        # In float32 after adding up in float64, equal vectors have equal scores wherever they stand.
        scores = (queries[part].astype(np.float64) @ columns).astype(np.float32)
        ranking = Ranking.of(scores, relevant(part))
        every.append(measures(ranking))
        curves.append(np.cumsum(ranking.first[:, :CURVE], axis=1))
    own = np.arange(len(queries)) if items is None else items
    return Measured(
        {name: np.concatenate([one[name] for one in every]) for name in every[0]},
        100 * np.concatenate(curves).mean(axis=0),
        own,
        own if groups is None else groups,
    )


class Relevant:
    """What is relevant to which query: where the two have the same owner."""

    def __init__(self, queries: NDArray[Any], gallery: NDArray[Any]) -> None:
        self.queries = queries
        self.gallery = gallery

    def __call__(self, rows: slice) -> Flags:
        """Return (rows, n), true where relevant."""
        return np.asarray(self.queries[rows, None] == self.gallery[None, :])


def compare(old: Measured, new: Measured, *, seed: int = 0) -> dict[str, Difference]:
    """Return the difference of each measure over the queries that both have; of the median rank none."""
    _, first, second = np.intersect1d(old.items, new.items, return_indices=True)
    found = {}
    for name in old.each.keys() & new.each.keys() - {"median_rank"}:
        one, two = old.each[name][first], new.each[name][second]
        real = ~np.isnan(one) & ~np.isnan(two)
        if real.any():
            groups = new.groups[second][real]
            found[name] = bootstrap(one[real], two[real], groups=groups, seed=seed)
    return {name: found[name] for name in new.each if name in found}
