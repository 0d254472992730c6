"""The index kinds of FAISS behind one face: build from chunks, load memory-mapped, search by id."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import faiss
import numpy as np

from retrieval.errors import LibraryDamaged
from retrieval.records import Ids, Method, Scores, Vectors
from retrieval.vectors import flat, hnsw, ivf

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
        if allowed is not None and not len(allowed):
            shape = (len(queries), count)
            return np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
        return (
            self._search_lists(queries, count, allowed)
            if self.method == "ivf"
            else (self._search_rows(queries, count, allowed))
        )

    def _search_lists(self, queries: Vectors, count: int, allowed: Ids | None) -> tuple[Scores, Ids]:
        """Search native ids; look into every list if the near ones hold too few."""
        selector = None if allowed is None else selector_of(allowed)
        share = 1.0 if allowed is None else len(allowed) / max(1, len(self))
        wanted = min(count, len(self) if allowed is None else len(allowed))
        for part in (share, 0.0):
            parameters: Any = ivf.parameters(min(self.effort, self.faiss.nlist), part, selector)
            parameters.nprobe = min(parameters.nprobe, self.faiss.nlist)
            scores, ids = self.faiss.search(queries, count, params=parameters)
            if (ids[:, :wanted] >= 0).all():
                break
        return scores, ids

    def _search_rows(self, queries: Vectors, count: int, allowed: Ids | None) -> tuple[Scores, Ids]:
        """Search by row and translate to ids; under a filter a graph's rows are scanned instead."""
        index, selector = faiss.downcast_index(self.faiss.index), None
        if allowed is not None:
            rows = np.searchsorted(self.ids, allowed)
            rows = rows[self.ids[np.minimum(rows, len(self) - 1)] == allowed]
            selector = selector_of(rows)
            index = faiss.downcast_index(index.storage) if self.method == "hnsw" else index
        parameters = MODULES[self.method].parameters(max(self.effort, count), 1.0, selector)
        scores, rows = index.search(queries, count, params=parameters)
        if self.method == "hnsw" and allowed is None and (rows[:, : min(count, len(self))] < 0).any():
            scores, rows = index.storage.search(queries, count)  # the graph does not lead to all equals
        return scores, np.where(rows >= 0, self.ids[rows], -1)


def selector_of(members: Ids) -> faiss.IDSelectorBitmap:
    """Return a selector of these ids: one bit each, up to the largest."""
    mask = np.zeros(int(members[-1]) + 1, dtype=bool) if len(members) else np.zeros(1, dtype=bool)
    mask[members] = True
    return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
