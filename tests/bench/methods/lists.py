"""Inverted files: of images, with spill, and with centroids that are fitted to queries."""

import faiss
import numpy as np

from retrieval.types import Ids, Vectors
from retrieval.vectors import ivf
from tests.bench.methods.base import Method

EFFORTS = (4, 8, 16, 32, 64, 128, 256, 512)  # lists searched


class ClewLists(Method):
    """The lists of clew: sketches, and then 6 bits per dimension of the best rows."""

    efforts = ivf.SEARCH_EFFORTS

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Build them as a library does."""
        count, dim = vectors.shape
        self.pair = ivf.create(dim, count)
        self.pair.train(vectors[: ivf.sample_size(count)])
        self.pair.add(vectors)
        self.lists = ivf.InvertedFile(self.pair)
        lists, rows = map(faiss.downcast_index, (self.pair.base_index, self.pair.refine_index))
        self.bytes = lists.code_size + 8 + rows.code_size + lists.nlist * dim * 4 / count

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows in the nearest lists."""
        return self.lists.search(query, count, effort)[1][0]


class InvertedFile(Method):
    """Rows in the lists of their nearest centroids; a row in two lists is found in either."""

    efforts = EFFORTS

    def __init__(self, codes: str = "SQ8", lists: int = 1, fitted: bool = False) -> None:
        self.codes, self.lists, self.fitted = codes, lists, fitted

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Train centroids with the vectors, or if fitted with texts, and add the vectors."""
        count, dim = vectors.shape
        size = ivf.list_count(count)
        self.index = faiss.index_factory(dim, f"IVF{size},{self.codes}", faiss.METRIC_INNER_PRODUCT)
        if self.fitted:
            centroids = faiss.Kmeans(dim, size, niter=10, spherical=True, seed=1)
            centroids.train(texts)
            self.index.quantizer.add(centroids.centroids)
        self.index.train(vectors)
        for at in range(0, count, 20_000):
            rows = vectors[at : at + 20_000]
            _, nearest = self.index.quantizer.search(rows, self.lists)
            ids = np.arange(at, at + len(rows))
            for numbers in nearest.T:
                lists = np.ascontiguousarray(numbers)
                self.index.add_core(
                    len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(ids), faiss.swig_ptr(lists)
                )
        self.bytes = (self.index.code_size + 8) * self.lists + size * dim * 4 / count

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows in the nearest lists."""
        self.index.nprobe = effort
        return np.unique(self.index.search(query, count * self.lists)[1][0])
