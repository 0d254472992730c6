"""Indexes: ids and unit vectors in, the nearest of them out. `exact` is the oracle of the others."""

from typing import Protocol

from retrieval.types import Ids, IndexMethod, Scores, Vectors


class VectorIndex(Protocol):
    """The nearest vectors by cosine, best first.

    `search` takes (q, d) queries and returns scores (q, count) and ids (q, count); `allowed`, ascending
    ids, narrows the answer before ranking. Where fewer than `count` exist, ids end in -1.
    """

    def __len__(self) -> int: ...

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return the best `count` of each query."""
        ...


def method_for(count: int) -> IndexMethod:
    """Choose by size: flat is exact and quick up to here; beyond, a graph (see bench_search.py)."""
    return "flat" if count <= 200_000 else "hnsw"


# The current format of each method; index files in another format are rebuilt.
FILE_FORMATS: dict[IndexMethod, str] = {"flat": "flat", "hnsw": "hnsw+sketch", "ivf": "ivf"}
