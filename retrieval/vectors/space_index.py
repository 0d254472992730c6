"""The vectors of one space, searched: the indexes propose, the catalogue's own vectors decide."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import INDEX_FOLDER
from retrieval.errors import LibraryDamaged, LibraryError
from retrieval.scoring import calibration
from retrieval.scoring.calibration import QueryMode
from retrieval.scoring.ranking import top_k
from retrieval.types import Filters, Ids, IndexFile, Kind, Scores, Space, Vectors
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex

MAX_EXACT_SCAN_VECTORS = 500  # so few vectors are read and compared sooner than an index is asked
MAX_RESCORED_VECTORS = 1_000  # vectors read to be sure of the order under a filter
SCORE_TOLERANCE = 1e-5  # scores that differ by less are equal
MAX_BACKGROUND_VECTORS = 500  # vectors that say what is usual for a kind
MAX_CACHE_ENTRIES = 16  # filters whose ids are kept while the catalogue stands still

Key = TypeVar("Key")
Value = TypeVar("Value")


class SpaceIndex:
    """For each kind an immutable index plus an exact tail, which is read when it is first needed.

    An index file that is missing or cannot be opened costs speed, never answers: everything is then
    tail, and `damage` says so.
    """

    def __init__(self, catalog: Catalog, space: Space) -> None:
        self.catalog = catalog
        self.space = space
        self.damage: str | None = None
        self.indexes = {file.kind: index for file in space.indexes if (index := self._open_index(file))}
        self._unindexed: dict[Kind, ExactIndex] = {}
        self._allowed_ids: dict[Filters, Ids] = {}
        self._background_vectors: dict[Kind, Vectors] = {}
        self._background_queries: dict[QueryMode, Vectors | None] = {}
        self._mean_queries: dict[QueryMode, Vectors | None] = {}
        self.calibrations = catalog.calibrations(space)

    def search(
        self, query: Vectors, kind: Kind, count: int, filters: Filters | None = None
    ) -> tuple[Scores, Ids]:
        """Return up to `count` scores and ids of a kind for a (1, d) query, best first.

        Scores are those of the catalogue's vectors.
        """
        allowed = None if filters is None else self.allowed_ids(filters)
        if allowed is not None and len(allowed) <= MAX_EXACT_SCAN_VECTORS:
            return self._rescore(query, allowed, count)[0]
        size = len(self.unindexed(kind)) + (len(self.indexes[kind]) if kind in self.indexes else 0)
        count = min(count, size)
        wanted = 2 * count + 20  # an index of bytes may have their order a little wrong
        while True:
            _, near = self.unindexed(kind).search(query, min(wanted, size), allowed)
            proposed, more = self._search_index(query, kind, wanted, allowed)
            near = np.concatenate([near[near >= 0], more])
            best, known = self._rescore(query, near, count)
            every = len(near) < wanted
            if every or len(best[1]) == count:  # else many of the near were purged
                sure = every or allowed is None or len(more) < wanted or 4 * wanted > MAX_RESCORED_VECTORS
                if sure or _is_order_certain(best[0][-1], proposed, more, *known):
                    return best
            wanted *= 4

    def allowed_ids(self, filters: Filters) -> Ids:
        """Return the ids that pass, remembered for the next query."""
        return _get_or_compute(self._allowed_ids, filters, self.catalog.allowed_ids)

    def unindexed(self, kind: Kind) -> ExactIndex:
        """Return the vectors of a kind that its index does not reach."""
        return _get_or_compute(self._unindexed, kind, self._read_unindexed)

    def background_vectors(self, kind: Kind) -> Vectors:
        """Return vectors of this kind from all over the library, (at most BACKGROUND, d)."""
        return _get_or_compute(self._background_vectors, kind, self._read_background_vectors)

    def background_queries(self, mode: QueryMode) -> Vectors | None:
        """Return the background queries asked in this way, (m, d); None before the library is calibrated."""
        return _get_or_compute(
            self._background_queries, mode, lambda way: self.catalog.background_queries(self.space, way)
        )

    def mean_query(self, mode: QueryMode) -> Vectors | None:
        """Return the mean background query, (d,)."""
        return _get_or_compute(self._mean_queries, mode, self._compute_mean_query)

    def _compute_mean_query(self, mode: QueryMode) -> Vectors | None:
        queries = self.background_queries(mode)
        return None if queries is None else np.asarray(queries.mean(axis=0), np.float32)

    def match_quality(self, query: Vectors, mode: QueryMode, vectors: Vectors) -> Scores:
        """Return how much better each of `vectors` fits a (1, d) query than it fits background queries."""
        queries = self.background_queries(mode)
        if queries is None:  # of few pictures
            queries = self.background_queries("words")
        if queries is None:
            raise LibraryError(
                "This library does not know yet what is usual in it, which this needs: run `clew index`."
            )
        return calibration.match_quality((query @ vectors.T)[0], queries @ vectors.T)

    def _search_index(
        self, query: Vectors, kind: Kind, count: int, allowed: Ids | None
    ) -> tuple[Scores, Ids]:
        """Return the best `count` of the index, as it sees them."""
        if kind not in self.indexes:
            return np.empty(0, np.float32), np.empty(0, np.int64)
        index = self.indexes[kind]
        scores, near = index.search(query, min(count, len(index)), allowed)
        return scores[near >= 0], near[near >= 0]

    def _rescore(
        self, query: Vectors, candidates: Ids, count: int
    ) -> tuple[tuple[Scores, Ids], tuple[Scores, Ids]]:
        """Return the best `count` of these, and all of them by id, with the scores of their vectors."""
        ids, vectors = self.catalog.vectors_of(self.space, candidates)
        scores = np.einsum("qd,nd->qn", query, vectors)  # of equal vectors equal, unlike BLAS
        best, found = top_k(scores, ids, min(count, len(ids)))
        return (best[0], found[0]), (scores[0], ids)

    def _read_unindexed(self, kind: Kind) -> ExactIndex:
        built = kind in self.indexes or kind not in {file.kind for file in self.space.indexes}
        chunks = list(self.catalog.vectors_after(self.space, kind, self.space.indexed_to if built else 0))
        return ExactIndex(
            np.concatenate([ids for ids, _ in chunks] or [np.empty(0, np.int64)]),
            np.concatenate([rows for _, rows in chunks] or [np.empty((0, self.space.dim), np.float32)]),
        )

    def _read_background_vectors(self, kind: Kind) -> Vectors:
        index, tail = self.indexes.get(kind), self.unindexed(kind).ids
        size = 0 if index is None else len(index)
        last = size + len(tail) - 1
        at = np.linspace(0, last, min(MAX_BACKGROUND_VECTORS, last + 1), dtype=np.int64)
        some = tail[at[at >= size] - size]
        if index is not None:
            some = np.concatenate([index.ids[at[at < size]], some])
        return self.catalog.vectors_of(self.space, some)[1]

    def _open_index(self, file: IndexFile) -> FaissIndex | None:
        try:
            return open_index(self.catalog.folder, file)
        except LibraryDamaged as error:
            self.damage = f"{error} Every vector is compared instead; `clew index` builds it again."
            return None


def open_index(folder: Path, file: IndexFile) -> FaissIndex:
    """Open an index file, memory-mapped; raises LibraryDamaged unless it is there and whole."""
    path = folder / INDEX_FOLDER / file.file
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        raise LibraryDamaged(f"The index file {path} is missing.")
    if size != file.size:
        raise LibraryDamaged(f"The index file {path} has {size} bytes, not {file.size}.")
    return FaissIndex.load(path, file.method, file.effort)


def _is_order_certain(
    worst_score: float, index_scores: Scores, index_ids: Ids, scores: Scores, ids: Ids
) -> bool:
    """Say whether nothing that the index held back can score more than the worst of the answer.

    An index of bytes scores a little wrong: by how much is seen in those that it did propose, and about some
    of the many others it may be twice as wrong.
    """
    rows = np.minimum(np.searchsorted(ids, index_ids), len(ids) - 1)
    there = ids[rows] == index_ids
    wrong = np.abs(scores[rows] - index_scores)[there].max(initial=0.0)
    return bool(worst_score >= index_scores[-1] + 2 * wrong - SCORE_TOLERANCE)


def _get_or_compute(cache: dict[Key, Value], key: Key, compute: Callable[[Key], Value]) -> Value:
    """Return what is known of a key, found once; the oldest of many is let go."""
    if key not in cache:
        if len(cache) >= MAX_CACHE_ENTRIES:
            cache.pop(next(iter(cache)), None)
        cache[key] = compute(key)
    return cache[key]
