"""Search in the vectors of one space, of all kinds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from retrieval.catalog.reader import MAX_ID, Catalog
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
READ_BATCH = 8_192  # vectors that are read at once
MAX_CACHE_ENTRIES = 16  # filters whose ids are cached until the catalog changes
_EVICTION_LOCK = Lock()  # threads share the caches

Key = TypeVar("Key")
Value = TypeVar("Value")


class SpaceIndex:
    """For each kind immutable indexes, and an exact index of newer vectors that is loaded on demand.

    If an index file is missing or damaged, its vectors are compared instead, and `damage` has the reason.
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

        Unindexed vectors are extended. In a space that is not complete, vectors are also inserted among those
        that are indexed.
        """
        self.catalog = catalog
        self.space = space
        self.damage: str | None = None
        self.published = published
        self.indexes: dict[Kind, list[tuple[IndexFile, FaissIndex]]] = {}
        self._unreadable: dict[Kind, list[IndexFile]] = {}
        self._open_indexes(previous)
        self._unindexed: dict[Kind, ExactIndex] = {}
        self._known_unindexed: dict[Kind, ExactIndex] = {}
        self._allowed_ids: dict[Filters, Ids] = {}
        self._segment_ids: dict[Kind, Ids] = {}
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
            self._segment_ids |= previous._segment_ids
        indexed_to = self.space.indexed_to
        same = replace(previous.space, indexes=self.space.indexes, indexed_to=indexed_to) == self.space
        if not same or previous.damage or self.damage:
            return
        if previous.space.indexed_to <= indexed_to or not self.space.complete:
            for kind, known in (previous._known_unindexed | previous._unindexed).items():
                first = int(np.searchsorted(known.ids, indexed_to, "right"))
                self._known_unindexed[kind] = known.without(first)
        if not self.space.complete:
            return
        if is_unchanged and previous.space == self.space:
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
            ranking = KindRanking(self.catalog, self.space, query, allowed=allowed)
            ranking.add(allowed)
            return ranking
        indexes, existing = self._searched(kind, mode), partial(self.segment_ids, kind)
        return KindRanking(self.catalog, self.space, query, indexes, allowed, existing)

    def _searched(self, kind: Kind, mode: QueryMode) -> Sequence[VectorIndex]:
        """Return the indexes that together have all vectors of a kind."""
        if self.published is not None:
            return self.published.indexes(kind, lambda: self._local(kind, mode))
        return self._local(kind, mode)

    def _local(self, kind: Kind, mode: QueryMode) -> Sequence[VectorIndex]:
        tuned = [TunedIndex.of_mode(index, file, mode) for file, index in self.indexes.get(kind, ())]
        return [self.unindexed(kind), *tuned]

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

    def segment_ids(self, kind: Kind) -> Ids:
        """Return the ids of the segments of a kind, cached for the next query."""
        return _get_or_compute(self._segment_ids, kind, self.catalog.segment_ids)

    def unindexed(self, kind: Kind) -> ExactIndex:
        """Return the vectors of a kind that no index covers."""
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
        known = self._known_unindexed.pop(kind, None)
        if known is None or not len(known):
            known = ExactIndex(np.empty(0, np.int64), np.empty((0, self.space.dim), np.float32))
        if self.space.complete and len(known):
            ranges = [(int(known.ids[-1]), MAX_ID)]
        else:
            last = self.space.indexed_to
            unreadable = self._unreadable.get(kind, ())
            ranges = [(file.indexed_after, min(file.indexed_to, last)) for file in unreadable]
            ranges.append((last, MAX_ID))
        newer = [chunk for after, to in ranges for chunk in self._read_range(kind, after, to, known.ids)]
        if not newer:  # deleted vectors remain; a ranking reads the vectors of its candidates
            return known
        ids = np.concatenate([known.ids, *(ids for ids, _ in newer)])
        vectors = np.concatenate([known.vectors, *(rows for _, rows in newer)])
        if (np.diff(ids) > 0).all():
            return ExactIndex(ids, vectors)
        order = np.argsort(ids)
        return ExactIndex(ids[order], vectors[order])

    def _read_range(self, kind: Kind, after: int, to: int, known: Ids) -> Iterator[tuple[Ids, Vectors]]:
        """Yield the vectors of a range of segments that are in no open index and not known, in batches.

        In a space that is not complete, vectors may have been inserted among those that are.
        """
        if self.space.complete:
            yield from self.catalog.vectors_after(self.space, kind, after, to=to)
            return
        ids = self.catalog.vector_ids(self.space, kind, after, to)
        for present in (known, *(index.ids for _, index in self.indexes.get(kind, ()))):
            ids = _without(ids, present)
        for start in range(0, len(ids), READ_BATCH):
            yield self.catalog.vectors_of(self.space, ids[start : start + READ_BATCH])

    def _read_background_vectors(self, kind: Kind) -> Vectors:
        parts = [index.ids for _, index in self.indexes.get(kind, ())] + [self.unindexed(kind).ids]
        starts = np.cumsum([0, *map(len, parts)])
        at = np.linspace(0, starts[-1] - 1, min(MAX_BACKGROUND_VECTORS, starts[-1]), dtype=np.int64)
        chosen = [
            ids[at[(at >= start) & (at < start + len(ids))] - start]
            for ids, start in zip(parts, starts[:-1], strict=True)
        ]
        return self.catalog.vectors_of(self.space, np.concatenate(chosen))[1]

    def _open_indexes(self, previous: "SpaceIndex | None") -> None:
        """Open the index files; those that `previous` has open are not loaded again."""
        opened = (
            {}
            if previous is None
            else {
                (file.file, file.digest): index for kind in previous.indexes.values() for file, index in kind
            }
        )
        for file in self.space.indexes:
            try:
                check_index_file(self.catalog.folder, file)
                index = opened.get((file.file, file.digest))
                if index is None:
                    index = load_index(self.catalog.folder, file)
                self.indexes.setdefault(file.kind, []).append((file, index))
            except LibraryDamaged as error:
                self._unreadable.setdefault(file.kind, []).append(file)
                self.damage = f"{error} Its vectors are compared instead. `clew index` rebuilds it."


def _lowered(scale: QueryScale, unfamiliarity: float) -> QueryScale:
    """Return a scale whose standard scores are lower for unfamiliar words."""
    lowered_by = scale.unit * calibration.UNFAMILIARITY_PENALTY * unfamiliarity
    return replace(scale, origin=scale.origin + lowered_by)


def open_index(folder: Path, file: IndexFile) -> FaissIndex:
    """Open an index file, memory-mapped. Raises LibraryDamaged."""
    check_index_file(folder, file)
    return load_index(folder, file)


def load_index(folder: Path, file: IndexFile) -> FaissIndex:
    """Map a checked index file into memory. Raises LibraryDamaged."""
    return FaissIndex.load(folder / INDEX_FOLDER / file.file, file.method, file.effort)


def _without(ids: Ids, others: Ids) -> Ids:
    """Return the ids that are not among `others`; both ascending."""
    if not len(others):
        return ids
    at = np.minimum(np.searchsorted(others, ids), len(others) - 1)
    return np.asarray(ids[others[at] != ids], np.int64)


def _get_or_compute(cache: dict[Key, Value], key: Key, compute: Callable[[Key], Value]) -> Value:
    """Return the cached value of a key, or compute it and evict the oldest entry of a full cache."""
    try:
        return cache[key]
    except KeyError:
        pass
    value = compute(key)
    with _EVICTION_LOCK:
        if key not in cache and len(cache) >= MAX_CACHE_ENTRIES:
            del cache[next(iter(cache))]
        cache[key] = value
    return value
