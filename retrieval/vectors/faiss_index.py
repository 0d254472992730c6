"""The index kinds of FAISS behind one face: build from chunks, load memory-mapped, search by id."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import ModuleType

import faiss
import numpy as np

from retrieval.errors import LibraryDamaged
from retrieval.types import Ids, Method, Scores, Vectors
from retrieval.vectors import flat, hnsw, ivf
from retrieval.vectors.id_filter import Passing

MODULES: dict[Method, ModuleType] = {"flat": flat, "hnsw": hnsw, "ivf": ivf}


def sample_size(method: Method, count: int) -> int:
    """Say how many of so many vectors this method learns from."""
    return int(MODULES[method].sample(count))


class FaissIndex:
    """One immutable FAISS index over ids and unit vectors.

    flat answers exactly; hnsw and ivf keep a byte a dimension or less, so their scores are near, not exact:
    a caller who holds the vectors scores their candidates again.
    """

    def __init__(self, method: Method, index: faiss.Index, effort: int) -> None:
        self.method = method
        self.effort = effort
        self.faiss = index

    @classmethod
    def build(
        cls,
        method: Method,
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
        return cls(method, index, MODULES[method].EFFORTS[-1])

    @classmethod
    def load(cls, path: Path, method: Method, effort: int) -> "FaissIndex":
        """Map the file into memory; a query touches only the pages it needs."""
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (RuntimeError, MemoryError) as error:
            raise LibraryDamaged(f"The index file {path} cannot be read.") from error
        return cls(method, index, effort)

    @property
    def efforts(self) -> tuple[int, ...]:
        """Return what `effort` may be, least first."""
        efforts: tuple[int, ...] = MODULES[self.method].EFFORTS
        return efforts

    def __len__(self) -> int:
        return int(self.faiss.ntotal)

    @cached_property
    def ids(self) -> Ids:
        """Return row -> id; without copying them, but for lists, which keep their own."""
        if self.method == "ivf":
            lists = self.faiss.invlists
            sizes = [(number, lists.list_size(number)) for number in range(self.faiss.nlist)]
            parts = [faiss.rev_swig_ptr(lists.get_ids(number), size) for number, size in sizes if size]
            return np.concatenate([*parts, np.empty(0, np.int64)])
        ids: Ids = faiss.rev_swig_ptr(self.faiss.id_map.data(), len(self))
        return ids

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return the best `count` this index finds, by its own scores."""
        rows = None if allowed is None else self._passing.rows(allowed)
        if self.method == "ivf":
            there = None if rows is None else self._passing.ids[rows]
            return ivf.search(self.faiss, queries, count, self.effort, there)
        if self.method == "hnsw":
            scores, found = self._graph.search(queries, count, self.effort, rows)
        else:
            scores, found = flat.search(faiss.downcast_index(self.faiss.index), queries, count, rows)
        return scores, np.where(found >= 0, self.ids[found], -1)

    @cached_property
    def _passing(self) -> Passing:
        return Passing(np.sort(self.ids) if self.method == "ivf" else self.ids)

    @cached_property
    def _graph(self) -> hnsw.Graph:
        return hnsw.Graph(self.faiss.index)
