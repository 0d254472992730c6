"""The protocol of vector indexes, which are tested against `exact`."""

from typing import Protocol

from retrieval.types import Ids, IndexMethod, Scores, Vectors


class VectorIndex(Protocol):
    """An index of unit vectors that is searched by cosine."""

    @property
    def is_exact(self) -> bool:
        """Return True if its scores are those of the vectors, but for rounding."""
        ...

    def __len__(self) -> int: ...

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return scores and ids (q, count) for queries (q, d), best first, padded with -1.

        `allowed`, ascending ids, are filtered before ranking.
        """
        ...


def method_for(count: int, total: int | None = None) -> IndexMethod:
    """Return the index method for a file with `count` of the `total` vectors of a kind, by default all.

    flat is exact and fast up to 200,000 in all (see bench_search.py). The graph of hnsw is the fastest
    beyond, but from 4 million on its entries no longer grow: ivf finds more of ten million in the same time,
    and is built in half of it (see bench_growth.py). A small file of ivf takes three times as long to search
    as one of hnsw (99,000 beside ten million: 9 ms, 3 ms).
    """
    if (count if total is None else total) <= 200_000:
        return "flat"
    return "hnsw" if count <= 4_000_000 else "ivf"


# The current format of each method; index files in another format are rebuilt.
FILE_FORMATS: dict[IndexMethod, str] = {"flat": "flat", "hnsw": "hnsw+sketch", "ivf": "ivf+sketch"}
# "hnsw", a graph without a sketch, and "ivf", lists of 8-bit rows, are valid but slower. Files in unknown
# formats are not opened.
READABLE_FORMATS = frozenset((*FILE_FORMATS.values(), "hnsw", "ivf"))
