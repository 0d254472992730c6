"""Measure a search: the measures of every query, their means, and how two searches differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.scoring.metrics import (
    Difference,
    Flags,
    QueryValues,
    Ranking,
    average_precision,
    bootstrap,
    first_relevant_rank,
    hit_rate_at,
    ndcg_at,
    precision_at,
    recall_at,
    reciprocal_rank,
)
from retrieval.types import Vectors

MAX_BATCH_SCORES = 1_000_000  # scores looked at at once
MAX_CURVE_K = 100  # recall@1 to recall@100


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measures of every query: name -> (q,), recall in per cent, NaN where one has no meaning.

    `curve` is the mean recall@1, recall@2 ... in per cent. `items` tells queries apart, to pair them with
    those of another measuring; `groups` says which belong together, as the captions of one picture do.
    """

    per_query: Mapping[str, QueryValues]
    curve: QueryValues
    query_ids: NDArray[np.int64]
    groups: NDArray[np.int64]

    def summary(self) -> dict[str, float]:
        """Return the mean of each measure, and of ranks the median."""
        known = {name: values[~np.isnan(values)] for name, values in self.per_query.items()}
        return {
            name: float(np.median(values)) if name == "median_rank" else round_metric(name, values.mean())
            for name, values in known.items()
            if len(values)
        }


def round_metric(name: str, value: float) -> float:
    """Round a measure: per cents to two digits, shares to four."""
    return round(float(value), 2 if "recall" in name else 4)


def query_metrics(ranking: Ranking) -> dict[str, QueryValues]:
    """Return the measures of every query by the names under which all doors show them.

    `recall@k` is in the any-hit sense of CLIP papers, `true_recall@10` the share that was found.
    """
    return {
        **{f"recall@{k}": 100 * hit_rate_at(ranking, k) for k in (1, 5, 10)},
        "mrr": reciprocal_rank(ranking),
        "ndcg@10": ndcg_at(ranking, 10),
        "median_rank": first_relevant_rank(ranking),
        "true_recall@10": 100 * recall_at(ranking, 10),
        "precision@10": precision_at(ranking, 10),
        "map": average_precision(ranking),
    }


def measure(
    queries: Vectors,
    gallery: Vectors,
    relevant: "RelevanceByOwner",
    *,
    query_ids: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Measurement:
    """Measure a search of every query, (q, d), in the gallery, (n, d), some rows at a time."""
    every, curves = list[dict[str, QueryValues]](), list[QueryValues]()
    columns = gallery.T.astype(np.float64)
    rows = max(1, MAX_BATCH_SCORES // len(gallery))
    for start in range(0, len(queries), rows):
        part = slice(start, start + rows)
        # In float32 after adding up in float64, equal vectors have equal scores wherever they stand.
        scores = (queries[part].astype(np.float64) @ columns).astype(np.float32)
        ranking = Ranking.from_scores(scores, relevant(part))
        every.append(query_metrics(ranking))
        curves.append(np.cumsum(ranking.first_relevant[:, :MAX_CURVE_K], axis=1))
    own = np.arange(len(queries)) if query_ids is None else query_ids
    return Measurement(
        {name: np.concatenate([one[name] for one in every]) for name in every[0]},
        100 * np.concatenate(curves).mean(axis=0),
        own,
        own if groups is None else groups,
    )


class RelevanceByOwner:
    """What is relevant to which query: where the two have the same owner."""

    def __init__(self, query_owners: NDArray[Any], gallery_owners: NDArray[Any]) -> None:
        self.query_owners = query_owners
        self.gallery_owners = gallery_owners

    def __call__(self, rows: slice) -> Flags:
        """Return (rows, n), true where relevant."""
        return np.asarray(self.query_owners[rows, None] == self.gallery_owners[None, :])


def compare(old: Measurement, new: Measurement, *, seed: int = 0) -> dict[str, Difference]:
    """Return the difference of each measure over the queries that both have; of the median rank none."""
    _, first, second = np.intersect1d(old.query_ids, new.query_ids, return_indices=True)
    found = {}
    for name in old.per_query.keys() & new.per_query.keys() - {"median_rank"}:
        one, two = old.per_query[name][first], new.per_query[name][second]
        real = ~np.isnan(one) & ~np.isnan(two)
        if real.any():
            groups = new.groups[second][real]
            found[name] = bootstrap(one[real], two[real], groups=groups, seed=seed)
    return {name: found[name] for name in new.per_query if name in found}
