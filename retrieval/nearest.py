"""The vectors of one space, searched: the index proposes, the catalogue's own vectors decide."""

from pathlib import Path

import numpy as np

from retrieval.catalog import Catalog
from retrieval.errors import LibraryDamaged
from retrieval.rank import top
from retrieval.records import Filters, Ids, Kind, Scores, Space, Vectors
from retrieval.schema import INDEXES
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex

FEW = 2_000  # so few vectors are read and compared sooner than an index is asked
BACKGROUND = 500  # vectors that say what is usual for a kind
REMEMBERED = 16  # filters whose ids are kept while the catalogue stands still


class Nearest:
    """An immutable index file plus an exact tail, as the catalogue stands at one moment.

    An index file that is missing or cannot be opened costs speed, never answers: everything is then
    tail, and `damage` says so.
    """

    def __init__(self, catalog: Catalog, space: Space) -> None:
        self.catalog = catalog
        self.space = space
        self.damage: str | None = None
        self.index = self._open_index()
        reach = space.through if self.index is not None else 0
        chunks = list(catalog.vectors_after(space, reach))
        self.tail = ExactIndex(
            np.concatenate([ids for ids, _ in chunks] or [np.empty(0, np.int64)]),
            np.concatenate([rows for _, rows in chunks] or [np.empty((0, space.dim), np.float32)]),
        )
        self._allowed: dict[Filters, Ids] = {}
        self._backgrounds: dict[Kind, Vectors] = {}

    def __len__(self) -> int:
        return len(self.tail) + (0 if self.index is None else len(self.index))

    def search(self, query: Vectors, count: int, filters: Filters | None = None) -> tuple[Scores, Ids]:
        """Return up to `count` scores and ids for a (1, d) query, best first, scored by the true vectors."""
        allowed = None if filters is None else self.allowed(filters)
        count = min(count, len(self))
        wanted = 2 * count + 20  # an index of bytes may have their order a little wrong
        while True:
            if allowed is not None and len(allowed) <= FEW:
                near, every = allowed, True
            else:
                near = self._candidates(query, wanted, allowed)
                every = len(near) < wanted
            ids, vectors = self.catalog.vectors_of(self.space, near)
            if every or len(ids) >= count:  # else many of the near were purged
                scores, found = top(query @ vectors.T, ids, min(count, len(ids)))
                return scores[0], found[0]
            wanted *= 4

    def allowed(self, filters: Filters) -> Ids:
        """Return the ids that pass, remembered for the next query."""
        if filters not in self._allowed:
            if len(self._allowed) >= REMEMBERED:
                self._allowed.pop(next(iter(self._allowed)))
            self._allowed[filters] = self.catalog.allowed(filters)
        return self._allowed[filters]

    def background(self, kind: Kind) -> Vectors:
        """Return vectors of this kind from all over the library, (at most BACKGROUND, d)."""
        if kind not in self._backgrounds:
            ids = self.allowed(Filters(frozenset({kind})))
            some = ids[:: max(1, len(ids) // BACKGROUND)][:BACKGROUND]
            self._backgrounds[kind] = self.catalog.vectors_of(self.space, some)[1]
        return self._backgrounds[kind]

    def _candidates(self, query: Vectors, count: int, allowed: Ids | None) -> Ids:
        """Return the best `count` ids of the tail and of the index, as each of them sees it."""
        _, near = self.tail.search(query, count, allowed)
        if self.index is not None:
            _, more = self.index.search(query, min(count, len(self.index)), allowed)
            near = np.concatenate([near, more], axis=1)
        return near[near >= 0]

    def _open_index(self) -> FaissIndex | None:
        if self.space.file is None:
            return None
        try:
            return open_index(self.catalog.folder, self.space)
        except LibraryDamaged as error:
            self.damage = f"{error} Every vector is compared instead; `clew index` builds it again."
            return None


def open_index(folder: Path, space: Space) -> FaissIndex:
    """Open the index file of a space, memory-mapped; raises LibraryDamaged unless it is there and whole."""
    path = folder / INDEXES / str(space.file)
    size = path.stat().st_size if path.is_file() else None
    if size is None or space.index_kind is None:
        raise LibraryDamaged(f"The index file {path} is missing.")
    if size != space.size:
        raise LibraryDamaged(f"The index file {path} has {size} bytes, not {space.size}.")
    return FaissIndex.load(path, space.index_kind, space.effort)
