"""FAISS indexes with one interface: built from chunks, loaded memory-mapped, searched by id."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import faiss
import numpy as np

from retrieval.errors import LibraryDamaged
from retrieval.file_systems import local_file
from retrieval.types import Ids, IndexMethod, Scores, Vectors
from retrieval.vectors import flat, hnsw, ivf
from retrieval.vectors.id_filter import IdFilter

MODULES: dict[IndexMethod, ModuleType] = {"flat": flat, "hnsw": hnsw, "ivf": ivf}


def sample_size(method: IndexMethod, count: int) -> int:
    """Return the number of vectors that a method is trained with."""
    return int(MODULES[method].sample_size(count))


class FaissIndex:
    """An immutable FAISS index of ids and unit vectors.

    Only flat is exact. The scores of hnsw and ivf, which store less than a byte per dimension, are
    approximate, so the caller rescores their candidates with the original vectors.
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
        """Build an index from chunks of ascending ids, trained with `sample` (n, d)."""
        index = MODULES[method].create(sample.shape[1], count)
        index.train(sample)
        index = faiss.IndexIDMap(index)
        for ids, vectors in chunks:
            index.add_with_ids(vectors, ids)
        if method == "hnsw":
            hnsw.link(faiss.downcast_index(index.index))
        return cls(method, index, MODULES[method].SEARCH_EFFORTS[-1])

    @classmethod
    def load(cls, path: Path, method: IndexMethod, search_effort: int) -> "FaissIndex":
        """Map a file into memory; a query reads only the pages it needs. Raises LibraryDamaged."""
        try:
            with local_file(path) as local, local.open("rb") as file:
                index = faiss.read_index(_utf8_name(local, file), faiss.IO_FLAG_MMAP_IFC)
        except (OSError, RuntimeError, MemoryError) as error:
            raise LibraryDamaged(f"Cannot read the index file {path}.") from error
        return cls(method, index, search_effort)

    @property
    def is_exact(self) -> bool:
        """Return True if its scores are those of the vectors, but for rounding."""
        return self.method == "flat"

    @property
    def search_efforts(self) -> tuple[int, ...]:
        """Return the possible search efforts, ascending."""
        efforts: tuple[int, ...] = MODULES[self.method].SEARCH_EFFORTS
        return efforts

    def __len__(self) -> int:
        return int(self.faiss_index.ntotal)

    @cached_property
    def ids(self) -> Ids:
        """Return the id of each row, ascending."""
        if isinstance(self.faiss_index, faiss.IndexIVF):
            return ivf.stored_ids(self.faiss_index)
        ids: Ids = faiss.rev_swig_ptr(self.faiss_index.id_map.data(), len(self))
        return ids

    def search(
        self, queries: Vectors, count: int, allowed: Ids | None = None, effort: int | None = None
    ) -> tuple[Scores, Ids]:
        """Return the best `count` candidates by the scores of the index; `effort` is by default its own."""
        with flat.limited_threads(len(queries)):
            return self._search(queries, count, allowed, self.search_effort if effort is None else effort)

    def _search(self, queries: Vectors, count: int, allowed: Ids | None, effort: int) -> tuple[Scores, Ids]:
        rows = None if allowed is None else self._id_filter.rows(allowed)
        if self._approximate is not None:
            scores, best = self._approximate.search(queries, count, effort, rows)
        else:
            scores, best = flat.search(faiss.downcast_index(self.faiss_index.index), queries, count, rows)
        return scores, np.where(best >= 0, self.ids[best], -1)

    @cached_property
    def _id_filter(self) -> IdFilter:
        return IdFilter(self.ids)

    @cached_property
    def _approximate(self) -> hnsw.Graph | ivf.InvertedFile | ivf.OldInvertedFile | None:
        if isinstance(self.faiss_index, faiss.IndexIVF):
            return ivf.OldInvertedFile(self.faiss_index, self.ids)
        first = self.faiss_index.index
        if self.method == "flat":
            return None
        return hnsw.Graph(first) if self.method == "hnsw" else ivf.InvertedFile(faiss.downcast_index(first))


def _utf8_name(path: Path, file: BinaryIO) -> str:
    """Return a name that FAISS can open: its path, or if that is not UTF-8, its descriptor."""
    try:
        return str(path).encode().decode()
    except UnicodeEncodeError:
        return f"/dev/fd/{file.fileno()}"
