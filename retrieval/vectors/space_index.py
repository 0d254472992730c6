"""Search in the vectors of one space, of all kinds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import INDEX_FOLDER
from retrieval.errors import LibraryDamaged, LibraryError
from retrieval.scoring import calibration
from retrieval.scoring.calibration import (
    QueryMode,
    QueryScale,
    fit_label_scale,
    fit_scale,
    rival_levels,
)
from retrieval.types import Filters, Ids, IndexFile, Kind, Scores, Space, Vectors
from retrieval.vectors.base import VectorIndex
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex
from retrieval.vectors.index_files import check_index_file
from retrieval.vectors.kind_ranking import KindRanking
from retrieval.vectors.tuned_index import TunedIndex

if TYPE_CHECKING:
    from retrieval.vectors.milvus.published_space import PublishedSpace  # an extra

MAX_EXACT_SCAN_VECTORS = 500  # so few allowed vectors are all compared, which is faster than an index
MAX_BACKGROUND_VECTORS = 500  # vectors that represent a kind
ANY_MODE: QueryMode = "mixed"  # of a query whose mode is not known: the greatest search effort
MAX_CACHE_ENTRIES = 16  # filters whose ids are cached until the catalog changes

Key = TypeVar("Key")
Value = TypeVar("Value")


class SpaceIndex:
    """For each kind an immutable index, and an exact index of newer vectors that is loaded on demand.

    If an index file is missing or damaged, all its vectors are compared instead, and `damage` has the reason.
    """

    def __init__(
        self,
        catalog: Catalog,
        space: Space,
        previous: "SpaceIndex | None" = None,
        published: "PublishedSpace | None" = None,
    ) -> None:
        """Open a space. What `previous`, before the last commits, has read is kept unless they changed it.

        If it is `published`, the vectors on the server are searched.

        Unindexed vectors are extended. Vectors are missing from a space that is not complete, so they may be
        inserted before later ones.
        """
        self.catalog = catalog
        self.space = space
        self.damage: str | None = None
        self.published = published
        self._files = {file.kind: file for file in space.indexes}
        self.indexes = {file.kind: index for file in space.indexes if (index := self._open_index(file))}
        self._unindexed: dict[Kind, ExactIndex] = {}
        self._known_unindexed: dict[Kind, ExactIndex] = {}
        self._allowed_ids: dict[Filters, Ids] = {}
        self._background_vectors: dict[Kind, Vectors] = {}
        self._background_queries: dict[QueryMode, Vectors | None] = {}
        self._change_count = catalog.change_count()
        if previous is not None:
            self._keep(previous)
        self.calibrations = catalog.calibrations(space)

    def _keep(self, previous: "SpaceIndex") -> None:
        """Keep what `previous` has read, if it is still correct."""
        is_unchanged = previous._change_count == self._change_count
        if is_unchanged:
            self._allowed_ids |= previous._allowed_ids
        if previous.space != self.space or not self.space.complete or previous.damage:
            return
        self._known_unindexed |= previous._known_unindexed | previous._unindexed
        if is_unchanged:
            self._background_vectors |= previous._background_vectors
            self._background_queries |= previous._background_queries

    def ranking(
        self, query: Vectors, kind: Kind, filters: Filters | None = None, mode: QueryMode = ANY_MODE
    ) -> KindRanking:
        """Return the ranking of a kind for a (1, d) query.

        Its scores are those of the catalog's vectors. With filters, the order is exact.
        """
        allowed = None if filters is None else self.allowed_ids(filters)
        return self._ranking(query, kind, allowed, mode)

    def ranking_among(self, query: Vectors, kind: Kind, ids: Ids, mode: QueryMode = ANY_MODE) -> KindRanking:
        """Return the ranking of the segments of a kind among `ids`, ascending."""
        if len(ids) <= MAX_EXACT_SCAN_VECTORS:
            ids = self.catalog.ids_of_kind(ids, kind)
        return self._ranking(query, kind, ids, mode)

    def _ranking(self, query: Vectors, kind: Kind, allowed: Ids | None, mode: QueryMode) -> KindRanking:
        if allowed is not None and len(allowed) <= MAX_EXACT_SCAN_VECTORS:
            ranking = KindRanking(self.catalog, self.space, query)
            ranking.add(allowed)
            return ranking
        return KindRanking(self.catalog, self.space, query, *self._searched(kind, mode), allowed)

    def _searched(self, kind: Kind, mode: QueryMode) -> tuple[ExactIndex, VectorIndex | None]:
        """Return the vectors of a kind that are compared one by one, and the index of the others."""
        if self.published is not None:
            return self.published.indexes(kind, lambda: self._local(kind, mode))
        return self._local(kind, mode)

    def _local(self, kind: Kind, mode: QueryMode) -> tuple[ExactIndex, VectorIndex | None]:
        index = self.indexes.get(kind)
        tuned = index and TunedIndex.of_mode(index, self._files[kind], mode)
        return self.unindexed(kind), tuned

    @property
    def problem(self) -> str | None:
        """Return the problems of the index files and of the server, if any; results are correct even so."""
        server_problem = None if self.published is None else self.published.problem
        return "\n".join(filter(None, (self.damage, server_problem))) or None

    def search(
        self,
        query: Vectors,
        kind: Kind,
        count: int,
        filters: Filters | None = None,
        mode: QueryMode = ANY_MODE,
    ) -> tuple[Scores, Ids]:
        """Return up to `count` scores and ids of a kind for a (1, d) query, best first."""
        none = np.empty(0, np.float32), np.empty(0, np.int64)
        return next(self.ranking(query, kind, filters, mode).pages(count), none)

    def allowed_ids(self, filters: Filters) -> Ids:
        """Return the ids that pass the filters, cached for the next query."""
        return _get_or_compute(self._allowed_ids, filters, self.catalog.allowed_ids)

    def unindexed(self, kind: Kind) -> ExactIndex:
        """Return the vectors of a kind that its index does not cover."""
        return _get_or_compute(self._unindexed, kind, self._read_unindexed)

    def background_vectors(self, kind: Kind) -> Vectors:
        """Return vectors of a kind from the whole library, at most (MAX_BACKGROUND_VECTORS, d)."""
        return _get_or_compute(self._background_vectors, kind, self._read_background_vectors)

    def background_queries(self, mode: QueryMode) -> Vectors | None:
        """Return the background queries of a mode, (m, d); None before the library is calibrated."""
        return _get_or_compute(
            self._background_queries, mode, lambda mode: self.catalog.background_queries(self.space, mode)
        )

    def mean_words(self) -> Vectors | None:
        """Return the mean background query by words, (d,)."""
        queries = self.background_queries("words")
        return None if queries is None else np.asarray(queries.mean(axis=0), np.float32)

    def query_scale(
        self,
        query: Vectors,
        mode: QueryMode,
        kind: Kind,
        unfamiliarity: float = 0.0,
        ranking: KindRanking | None = None,
    ) -> QueryScale:
        """Return the scale of the cosines of a (1, d) query in a kind that is calibrated.

        The `unfamiliarity` of its words, 0 to 1, lowers all standard scores. `ranking` is that of the query
        without filters, if there is one already.
        """
        nearest = self._nearest(ranking or self.ranking(query, kind, mode=mode), mode, kind)
        return _lowered(fit_scale(*nearest), unfamiliarity) if nearest else QueryScale(0.0, 1.0)

    def label_scale(self, label: Vectors, kind: Kind, unfamiliarity: float = 0.0) -> QueryScale:
        """Return the scale of the cosines of a (1, d) label with each vector of a kind that is calibrated."""
        nearest = self._nearest(self.ranking(label, kind, mode="words"), "words", kind)
        return _lowered(fit_label_scale(*nearest[1:]), unfamiliarity) if nearest else QueryScale(0.0, 1.0)

    def _nearest(
        self, ranking: KindRanking, mode: QueryMode, kind: Kind
    ) -> tuple[Scores, Scores, Scores] | None:
        """Return cosines, levels and spreads of the vectors that rate a query, (k,) each."""
        background, known = self.background_queries(mode), self.calibrations[mode, kind]
        nearest = ranking.top(known.nearest)
        if not len(nearest) or background is None:
            return None
        vectors = self.catalog.vectors_of(self.space, nearest)[1]
        cosines = calibration.pairwise_cosines(vectors, background)
        return vectors @ ranking.query[0], *rival_levels(cosines)

    def match_quality(self, query: Vectors, mode: QueryMode, vectors: Vectors) -> Scores:
        """Return how much better each of `vectors` matches a (1, d) query than background queries, 0 to 1."""
        queries = self.background_queries(mode)
        if queries is None:  # the library has few images
            queries = self.background_queries("words")
        if queries is None:
            raise LibraryError("The library is not calibrated yet. Run `clew index`, then search again.")
        return calibration.match_quality((query @ vectors.T)[0], queries @ vectors.T)

    def _read_unindexed(self, kind: Kind) -> ExactIndex:
        built = kind in self.indexes or kind not in {file.kind for file in self.space.indexes}
        known = self._known_unindexed.pop(kind, None)
        if known is None or not len(known):
            known = ExactIndex(np.empty(0, np.int64), np.empty((0, self.space.dim), np.float32))
            last = self.space.indexed_to if built else 0
        else:
            last = int(known.ids[-1])
        newer = list(self.catalog.vectors_after(self.space, kind, last))
        if not newer:  # deleted vectors remain; a ranking reads the vectors of its candidates
            return known
        return ExactIndex(
            np.concatenate([known.ids, *(ids for ids, _ in newer)]),
            np.concatenate([known.vectors, *(rows for _, rows in newer)]),
        )

    def _read_background_vectors(self, kind: Kind) -> Vectors:
        index, tail = self.indexes.get(kind), self.unindexed(kind).ids
        size = 0 if index is None else len(index)
        last = size + len(tail) - 1
        at = np.linspace(0, last, min(MAX_BACKGROUND_VECTORS, last + 1), dtype=np.int64)
        ids = tail[at[at >= size] - size]
        if index is not None:
            ids = np.concatenate([index.ids[at[at < size]], ids])
        return self.catalog.vectors_of(self.space, ids)[1]

    def _open_index(self, file: IndexFile) -> FaissIndex | None:
        try:
            return open_index(self.catalog.folder, file)
        except LibraryDamaged as error:
            self.damage = f"{error} All vectors are compared instead. `clew index` rebuilds it."
            return None


def _lowered(scale: QueryScale, unfamiliarity: float) -> QueryScale:
    """Return a scale whose standard scores are lower for unfamiliar words."""
    lowered_by = scale.unit * calibration.UNFAMILIARITY_PENALTY * unfamiliarity
    return replace(scale, origin=scale.origin + lowered_by)


def open_index(folder: Path, file: IndexFile) -> FaissIndex:
    """Open an index file, memory-mapped. Raises LibraryDamaged."""
    check_index_file(folder, file)
    return FaissIndex.load(folder / INDEX_FOLDER / file.file, file.method, file.effort)


def _get_or_compute(cache: dict[Key, Value], key: Key, compute: Callable[[Key], Value]) -> Value:
    """Return the cached value of a key, or compute it and evict the oldest entry of a full cache."""
    if key not in cache:
        if len(cache) >= MAX_CACHE_ENTRIES:
            cache.pop(next(iter(cache)), None)
        cache[key] = compute(key)
    return cache[key]
