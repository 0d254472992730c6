"""A vector index of one kind in a collection of a Milvus server."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from retrieval.scoring.ranking import top_k
from retrieval.types import Ids, Kind, Scores, Vectors
from retrieval.vectors.milvus.collection import (
    KIND_CODES,
    MAX_RESULTS,
    RANGE_IDS,
    Collection,
    ConsistencyLevel,
    Ranking,
    id_list,
)

MAX_LISTED_IDS = 8_192  # allowed ids that an expression lists
SEARCH_EFFORT = 512  # efSearch of a graph: with 256, a filter that allows a third has recall@10 0.997
OVERSAMPLING_FACTOR, MIN_EXTRA_CANDIDATES = 1.5, 64  # of the candidates of which a filter allows some
GROWTH_FACTOR = 4


class MilvusIndex:
    """The rows of a kind, as an index.

    A server may return fewer rows than exist: at most MAX_RESULTS, and fewer from the temporary index of new
    rows. Then all rows that pass are read and compared here.
    """

    is_exact = False  # a graph is not

    def __init__(
        self,
        collection: Collection,
        kind: Kind,
        last_id: int,
        level: ConsistencyLevel = "Strong",
        max_listed_ids: int = MAX_LISTED_IDS,
    ) -> None:
        """Search a kind in a collection whose ids are at most `last_id`."""
        self.collection, self.last_id, self.level = collection, last_id, level
        self.max_listed_ids = max_listed_ids
        self._is_kind = f"kind == {KIND_CODES[kind]}"

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return self.collection.count(self._is_kind)

    def must_compare(self, count: int, allowed: Ids | None) -> bool:
        """Return True if the server does not return so many results, so that all rows would be read."""
        is_listed = allowed is not None and len(allowed) <= self.max_listed_ids
        return not is_listed and min(count, len(self)) > MAX_RESULTS

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return the best `count`, by score and then by id. Raises VectorServerError and ValueError."""
        if queries.ndim != 2 or queries.shape[1] != self.collection.dim:
            raise ValueError(
                f"queries of shape {queries.shape} in a space of {self.collection.dim} dimensions"
            )
        if not np.isfinite(queries).all():
            raise ValueError("a query is not finite")
        scores = np.full((len(queries), count), -np.inf, np.float32)
        ids = np.full((len(queries), count), -1, np.int64)
        if count and len(queries) and len(self) and (allowed is None or len(allowed)):
            for row, (best, order) in enumerate(self._search(queries, count, allowed)):
                scores[row, : len(order)], ids[row, : len(order)] = best[:count], order[:count]
        return scores, ids

    def _search(self, queries: Vectors, count: int, allowed: Ids | None) -> list[Ranking]:
        if allowed is None:
            return self._search_all(queries, min(count, len(self)))
        if len(allowed) <= self.max_listed_ids:
            return self._search_listed(queries, count, allowed)
        return [
            self._search_and_filter(query[None], count, allowed)
            or self._search_lists(query[None], count, allowed)
            for query in queries
        ]

    def _search_all(self, queries: Vectors, count: int) -> list[Ranking]:
        """Return the best of all rows."""
        ranges = [
            f"{self._is_kind} and id >= {first} and id <= {last}"
            for first, last in self.collection.ranges(self.last_id)
        ]
        return self._search_or_compare(queries, count, self._is_kind, ranges)

    def _search_listed(self, queries: Vectors, count: int, allowed: Ids) -> list[Ranking]:
        """Return the best of the rows that an expression lists."""
        lists = [allowed[at : at + RANGE_IDS] for at in range(0, len(allowed), RANGE_IDS)]
        expressions = [f"{self._is_kind} and {id_list(part)}" for part in lists]
        return self._search_or_compare(queries, count, f"{self._is_kind} and {id_list(allowed)}", expressions)

    def _search_lists(self, query: Vectors, count: int, allowed: Ids) -> Ranking:
        """Return the best of the rows that several expressions list."""
        parts = np.array_split(allowed, -(-len(allowed) // self.max_listed_ids))
        return _merge([self._search_listed(query, count, part)[0] for part in parts], count)

    def _search_or_compare(
        self, queries: Vectors, count: int, expression: str, parts: Sequence[str]
    ) -> list[Ranking]:
        """Return the best rows that an expression selects.

        If the server returns fewer than `count`, the rows that `parts` select are compared here.
        """
        found = self._ask(queries, min(count, MAX_RESULTS), expression)
        return [
            ranking if len(ranking[1]) >= count else self._compare(query[None], count, parts)
            for query, ranking in zip(queries, found, strict=True)
        ]

    def _search_and_filter(self, query: Vectors, count: int, allowed: Ids) -> Ranking | None:
        """Return the best allowed rows among the best of all, None if they are too few to be known.

        For many allowed ids, of which the server would have to read a long list for each query.
        """
        wanted = int(OVERSAMPLING_FACTOR * count * max(1.0, len(self) / len(allowed))) + MIN_EXTRA_CANDIDATES
        while wanted <= MAX_RESULTS:
            wanted = min(wanted, len(self))
            scores, ids = self._ask(query, wanted, self._is_kind)[0]
            is_allowed = np.isin(ids, allowed)
            if is_allowed.sum() >= count or len(ids) == len(self):
                return scores[is_allowed], ids[is_allowed]
            if len(ids) < wanted:
                return None
            wanted *= GROWTH_FACTOR
        return None

    def _ask(self, queries: Vectors, count: int, expression: str) -> list[Ranking]:
        return self.collection.search(queries, count, expression, self.level, SEARCH_EFFORT)

    def _compare(self, query: Vectors, count: int, expressions: Sequence[str]) -> Ranking:
        """Return the best of the rows that expressions select, which are read and compared here."""
        best: Ranking = np.empty(0, np.float32), np.empty(0, np.int64)
        for expression in expressions:
            ids, _, vectors = self.collection.rows(expression)
            best = _merge([best, ((query @ vectors.T)[0], ids)], count)
        return best


def _merge(parts: Sequence[Ranking], count: int) -> Ranking:
    """Return the best `count` of several rankings, by score and then by id."""
    scores = np.concatenate([part for part, _ in parts])
    ids = np.concatenate([part for _, part in parts])
    best, order = top_k(scores[None], ids, min(count, len(ids)))
    return best[0], order[0]
