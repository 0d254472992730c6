"""The collection of a space on a Milvus server, for reading.

A row has the id, the kind and the vector of a segment. One more row, with a negative id, has the revision of
the collection: each publish that writes changes it, so that a restored or copied library is recognized.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np

from retrieval.types import Ids, Kind, Scores, Vectors
from retrieval.vectors.milvus.server import MilvusServer

KIND_CODES: dict[Kind, int] = {
    "image": 0,
    "video": 1,
    "text": 2,
    "page": 3,
    "audio": 4,
}  # stored; never changed
REVISION_CODE = -1  # the kind of the row with the revision
MAX_RESULTS = 16_384  # that a server returns for one query
RANGE_IDS = 4_096  # ids that one query reads with their vectors

ConsistencyLevel: TypeAlias = Literal["Strong", "Bounded"]
Ranking: TypeAlias = tuple[Scores, Ids]  # best first, equal scores by id


class Collection:
    """The rows of a collection. Raises VectorServerError."""

    def __init__(self, server: MilvusServer, name: str, dim: int) -> None:
        self.server, self.name, self.dim = server, name, dim

    def exists(self) -> bool:
        """Return True if the server has the collection."""
        return bool(self.server.call("has_collection", self.name))

    def load(self) -> None:
        """Load the collection unless it is loaded; milvus-lite does not load it when it starts."""
        if self.server.call("get_load_state", self.name)["state"].name != "Loaded":
            self.server.call("load_collection", self.name)

    def revisions(self) -> set[int]:
        """Return the revision, and that before it if a publish was killed while it changed it."""
        rows = self._query("id < 0", ["id"], MAX_RESULTS)
        return {-int(row["id"]) for row in rows}

    def count(self, expression: str) -> int:
        """Return the number of rows that an expression selects."""
        rows = self._query(expression, ["count(*)"])
        return int(rows[0]["count(*)"]) if rows else 0

    def ids(self, expression: str) -> Ids:
        """Return the ids, ascending, of rows that an expression selects, at most MAX_RESULTS."""
        return np.unique(
            np.array([row["id"] for row in self._query(expression, ["id"], MAX_RESULTS)], np.int64)
        )

    def rows(self, expression: str, limit: int = MAX_RESULTS) -> tuple[Ids, Ids, Vectors]:
        """Return ids, ascending, codes of kinds and vectors of rows that an expression selects."""
        rows = self._query(expression, ["id", "kind", "vector"], limit)
        ids, at = np.unique(np.array([row["id"] for row in rows], np.int64), return_index=True)
        codes = np.array([rows[row]["kind"] for row in at], np.int64)
        vectors = np.array([rows[row]["vector"] for row in at], np.float32).reshape(len(at), self.dim)
        return ids, codes, vectors

    def ranges(self, last_id: int) -> Iterator[tuple[int, int]]:
        """Yield the first and the last id of ranges of which each can be read at once."""
        for first in range(0, last_id + 1, RANGE_IDS):
            yield first, min(first + RANGE_IDS - 1, last_id)

    def search(
        self, queries: Vectors, count: int, expression: str, level: ConsistencyLevel, effort: int
    ) -> list[Ranking]:
        """Return the scores and ids of the best `count` rows for each query, best first."""
        found = self.server.call(
            "search",
            self.name,
            data=list(queries),
            filter=expression,
            limit=count,
            output_fields=["id"],
            search_params={"metric_type": "IP", "params": {"ef": max(effort, count)}},
            consistency_level=level,
        )
        return [_best_first([(hit["distance"], hit["id"]) for hit in hits]) for hits in found]

    def _query(self, expression: str, fields: list[str], limit: int | None = None) -> Any:
        options = {} if limit is None else {"limit": limit}
        return self.server.call(
            "query", self.name, filter=expression, output_fields=fields, consistency_level="Strong", **options
        )


def id_list(ids: Ids) -> str:
    """Return an expression that selects rows by their ids.

    The values are written out: servers before 2.5 and milvus-lite do not know parameters of expressions.
    """
    return f"id in [{','.join(map(str, ids.tolist()))}]"


def _best_first(hits: list[tuple[float, int]]) -> Ranking:
    """Return scores and ids, equal scores by id, without rows that are returned twice or have no score."""
    scores = np.array([score for score, _ in hits], np.float32)
    ids = np.array([id_ for _, id_ in hits], np.int64)
    order = np.lexsort((ids, -scores))
    _, first = np.unique(ids[order], return_index=True)
    order = order[np.sort(first)]
    order = order[~np.isnan(scores[order])]
    return scores[order], ids[order]
