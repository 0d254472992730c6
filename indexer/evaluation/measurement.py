"""Measure searches: metrics per query, their means, and the differences of two searches."""

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

MAX_BATCH_SCORES = 1_000_000  # scores computed at once
MAX_CURVE_K = 100  # recall@1 to recall@100


@dataclass(frozen=True, slots=True)
class Measurement:
    """Metrics of q queries."""

    per_query: Mapping[str, QueryValues]  # name -> (q,); recall in percent; NaN if undefined
    curve: QueryValues  # mean recall@1, recall@2 ... in percent
    query_ids: NDArray[np.int64]  # pair queries with those of another measurement
    groups: NDArray[np.int64]  # of dependent queries, such as the captions of one image

    def summary(self) -> dict[str, float]:
        """Return the mean of each metric, and the median of ranks."""
        defined = {name: values[~np.isnan(values)] for name, values in self.per_query.items()}
        return {
            name: float(np.median(values)) if name == "median_rank" else round_metric(name, values.mean())
            for name, values in defined.items()
            if len(values)
        }


def round_metric(name: str, value: float) -> float:
    """Round a metric: percentages to two digits, shares to four."""
    return round(float(value), 2 if "recall" in name else 4)


def query_metrics(ranking: Ranking) -> dict[str, QueryValues]:
    """Return the metrics of each query, by the names used in all outputs.

    `recall@k` is 100 if any relevant item is among k hits, as in CLIP papers; `true_recall@10` is the share
    of the relevant items that are among 10 hits.
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
    max_batch_scores: int = MAX_BATCH_SCORES,
) -> Measurement:
    """Measure an exact search of queries, (q, d), in a gallery, (n, d), in batches."""
    batches, curves = list[dict[str, QueryValues]](), list[QueryValues]()
    columns = gallery.T.astype(np.float64)
    rows = max(1, max_batch_scores // len(gallery))
    for start in range(0, len(queries), rows):
        part = slice(start, start + rows)
        # Sums in float64, rounded to float32, give equal vectors equal scores at any position.
        scores = (queries[part].astype(np.float64) @ columns).astype(np.float32)
        ranking = Ranking.from_scores(scores, relevant(part))
        batches.append(query_metrics(ranking))
        curves.append(np.cumsum(ranking.first_relevant[:, :MAX_CURVE_K], axis=1))
    ids = np.arange(len(queries)) if query_ids is None else query_ids
    return Measurement(
        {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]},
        100 * np.concatenate(curves).mean(axis=0),
        ids,
        ids if groups is None else groups,
    )


class RelevanceByOwner:
    """Relevance of gallery items to queries: those with the same owner."""

    def __init__(self, query_owners: NDArray[Any], gallery_owners: NDArray[Any]) -> None:
        self.query_owners = query_owners
        self.gallery_owners = gallery_owners

    def __call__(self, rows: slice) -> Flags:
        """Return the relevance of the gallery to some queries, (rows, n)."""
        return np.asarray(self.query_owners[rows, None] == self.gallery_owners[None, :])


def compare(old: Measurement, new: Measurement, *, seed: int = 0) -> dict[str, Difference]:
    """Return the difference of each metric except median_rank, over the queries that both measured."""
    _, first, second = np.intersect1d(old.query_ids, new.query_ids, return_indices=True)
    differences = {}
    for name in old.per_query.keys() & new.per_query.keys() - {"median_rank"}:
        before, after = old.per_query[name][first], new.per_query[name][second]
        defined = ~np.isnan(before) & ~np.isnan(after)
        if defined.any():
            groups = new.groups[second][defined]
            differences[name] = bootstrap(before[defined], after[defined], groups=groups, seed=seed)
    return {name: differences[name] for name in new.per_query if name in differences}
