"""The index kinds of FAISS behind one face: build from chunks, load memory-mapped, search by id."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import ModuleType

import faiss
import numpy as np

from retrieval.errors import LibraryDamaged
from retrieval.types import Ids, IndexMethod, Scores, Vectors
from retrieval.vectors import flat, hnsw, ivf
from retrieval.vectors.id_filter import IdFilter

MODULES: dict[IndexMethod, ModuleType] = {"flat": flat, "hnsw": hnsw, "ivf": ivf}


def sample_size(method: IndexMethod, count: int) -> int:
    """Say how many of so many vectors this method learns from."""
    return int(MODULES[method].sample_size(count))


class FaissIndex:
    """One immutable FAISS index over ids and unit vectors.

    flat answers exactly; hnsw and ivf keep a byte a dimension or less, so their scores are near, not exact:
    a caller who holds the vectors scores their candidates again.
    """

    def __init__(self, method: IndexMethod, index: faiss.Index, search_effort: int) -> None:
        self.method = method
        self.search_effort = search_effort
        self.faiss_index = index

    @classmethod
    def build(
        cls,
        method: IndexMethod,
        sample: Vectors,
        chunks: Iterable[tuple[Ids, Vectors]],
        count: int,
    ) -> "FaissIndex":
        """Build from chunks of ascending ids; `sample` (n, d) is what centroids and ranges come from."""
        index = MODULES[method].create(sample.shape[1], count)
        index.train(sample)
        if method != "ivf":  # lists keep ids of their own
            index = faiss.IndexIDMap(index)
        for ids, vectors in chunks:
            index.add_with_ids(vectors, ids)
        return cls(method, index, MODULES[method].SEARCH_EFFORTS[-1])

    @classmethod
    def load(cls, path: Path, method: IndexMethod, search_effort: int) -> "FaissIndex":
        """Map the file into memory; a query touches only the pages it needs."""
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (RuntimeError, MemoryError) as error:
            raise LibraryDamaged(f"The index file {path} cannot be read.") from error
        return cls(method, index, search_effort)

    @property
    def search_efforts(self) -> tuple[int, ...]:
        """Return what `effort` may be, least first."""
        efforts: tuple[int, ...] = MODULES[self.method].SEARCH_EFFORTS
        return efforts

    def __len__(self) -> int:
        return int(self.faiss_index.ntotal)

    @cached_property
    def ids(self) -> Ids:
        """Return row -> id; without copying them, but for lists, which keep their own."""
        if self.method == "ivf":
            lists = self.faiss_index.invlists
            sizes = [(number, lists.list_size(number)) for number in range(self.faiss_index.nlist)]
            parts = [faiss.rev_swig_ptr(lists.get_ids(number), size) for number, size in sizes if size]
            return np.concatenate([*parts, np.empty(0, np.int64)])
        ids: Ids = faiss.rev_swig_ptr(self.faiss_index.id_map.data(), len(self))
        return ids

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return the best `count` this index finds, by its own scores."""
        rows = None if allowed is None else self._id_filter.rows(allowed)
        if self.method == "ivf":
            there = None if rows is None else self._id_filter.ids[rows]
            return ivf.search(self.faiss_index, queries, count, self.search_effort, there)
        if self.method == "hnsw":
            scores, found = self._graph.search(queries, count, self.search_effort, rows)
        else:
            scores, found = flat.search(faiss.downcast_index(self.faiss_index.index), queries, count, rows)
        return scores, np.where(found >= 0, self.ids[found], -1)

    @cached_property
    def _id_filter(self) -> IdFilter:
        return IdFilter(np.sort(self.ids) if self.method == "ivf" else self.ids)

    @cached_property
    def _graph(self) -> hnsw.Graph:
        return hnsw.Graph(self.faiss_index.index)
