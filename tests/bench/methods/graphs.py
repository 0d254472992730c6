"""Graphs of near neighbors: of clew, FAISS, hnswlib and usearch, and with edges from queries."""

from typing import Any

import faiss
import numpy as np

from retrieval.types import Ids, Vectors
from retrieval.vectors import hnsw
from tests.bench.methods.base import Method

EFFORTS = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)  # candidates kept
NEIGHBORS, QUERY_NEIGHBORS = 32, 32  # of a row, in the graph that a navigating graph is pruned from


class ClewGraph(Method):
    """The graph of clew: 6 bits per dimension, and a sketch."""

    efforts = EFFORTS

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Build it as a library does."""
        pair = hnsw.create(vectors.shape[1], len(vectors))
        pair.train(vectors[: hnsw.sample_size(len(vectors))])
        pair.add(vectors)
        hnsw.link(pair)
        self.pair, self.graph = pair, hnsw.Graph(pair)  # the pair owns the graph
        sketch = faiss.downcast_index(pair.base_index)
        self.bytes = self.graph.storage.code_size + sketch.code_size + _link_bytes(hnsw.NEIGHBORS_PER_NODE)

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows of the graph search."""
        return self.graph.search(query, count, effort)[1][0]


class FaissGraph(Method):
    """HNSW of FAISS: with texts as nodes too, paths lead from the region of queries to that of images."""

    efforts = EFFORTS

    def __init__(self, neighbors: int = 32, quantizer: int | None = None, with_texts: bool = False) -> None:
        self.neighbors, self.quantizer, self.with_texts = neighbors, quantizer, with_texts

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Add the vectors, and after them the texts."""
        dim, self.count, metric = vectors.shape[1], len(vectors), faiss.METRIC_INNER_PRODUCT
        if self.quantizer is None:
            self.index = faiss.IndexHNSWFlat(dim, self.neighbors, metric)
        else:
            self.index = faiss.IndexHNSWSQ(dim, self.quantizer, self.neighbors, metric)
            self.index.train(vectors[:20_000])
        self.index.hnsw.efConstruction = 100
        rows = [vectors, texts] if self.with_texts else [vectors]
        for each in rows:
            self.index.add(each)
        size = 4 * dim if self.quantizer is None else faiss.downcast_index(self.index.storage).code_size
        self.bytes = (size + _link_bytes(self.neighbors)) * sum(map(len, rows)) / self.count

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows that are images."""
        self.index.hnsw.efSearch = max(effort, count)
        wanted = 2 * count if self.with_texts else count
        rows = self.index.search(query, wanted)[1][0]
        return rows[rows < self.count][:count]


class QueryGraph(Method):
    """A navigating graph (Fu et al., VLDB 2019) with edges between images that the same texts find.

    The edges are in the spirit of RoarGraph: Chen et al., VLDB 2024.
    """

    efforts = EFFORTS

    def __init__(self, with_texts: bool = True) -> None:
        self.with_texts = with_texts

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Prune a graph of the nearest images of each image, and of those found by the same texts."""
        dim = vectors.shape[1]
        rows = _nearest(vectors, vectors, NEIGHBORS + 1)[:, 1:]
        if self.with_texts:
            rows = np.concatenate([_found_together(vectors, texts, rows), rows], axis=1)
        self.index = faiss.IndexNSGFlat(dim, NEIGHBORS, faiss.METRIC_INNER_PRODUCT)
        self.index.build(vectors, np.ascontiguousarray(rows, np.int64))
        self.bytes = 4 * dim + 4 * NEIGHBORS

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows of the graph search."""
        self.index.nsg.search_L = max(effort, count)
        return self.index.search(query, count)[1][0]


class Hnswlib(Method):
    """HNSW of hnswlib."""

    efforts = EFFORTS

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Add the vectors."""
        import hnswlib

        count, dim = vectors.shape
        self.index: Any = hnswlib.Index("ip", dim)
        self.index.init_index(count, M=16, ef_construction=100, random_seed=1)
        self.index.add_items(vectors, np.arange(count))
        self.index.set_num_threads(1)
        self.bytes = 4 * dim + 8 + _link_bytes(16)

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows of the graph search."""
        self.index.set_ef(max(effort, count))
        return self.index.knn_query(query, count)[0][0].astype(np.int64)


class Usearch(Method):
    """HNSW of usearch, in 16-bit floats."""

    efforts = EFFORTS

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Add the vectors."""
        from usearch.index import Index

        count, dim = vectors.shape
        self.index: Any = Index(ndim=dim, metric="ip", dtype="f16", connectivity=16, expansion_add=100)
        self.index.add(np.arange(count), vectors)
        self.bytes = 2 * dim + _link_bytes(16)

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows of the graph search."""
        self.index.expansion_search = max(effort, count)
        return self.index.search(query[0], count, threads=1).keys.astype(np.int64)


def _link_bytes(neighbors: int) -> float:
    """Return the bytes of the links of a node: twice the neighbors at the ground, few above."""
    return 4 * (2 * neighbors + neighbors / (neighbors - 1))


def _nearest(vectors: Vectors, queries: Vectors, count: int) -> Ids:
    """Return the exact nearest rows of each query, (q, count)."""
    return faiss.knn(queries, vectors, count, faiss.METRIC_INNER_PRODUCT)[1]


def _found_together(vectors: Vectors, texts: Vectors, default: Ids) -> Ids:
    """Return for each row those that are found with it by texts, (n, QUERY_NEIGHBORS); else `default`."""
    found = _nearest(vectors, texts, QUERY_NEIGHBORS + 1)
    together = default[:, :QUERY_NEIGHBORS].copy()
    filled = np.zeros(len(vectors), np.int64)
    for rows in found:
        head, others = rows[0], rows[1:]
        for row, neighbor in ((head, others), *((each, head) for each in others.tolist())):
            neighbors = np.atleast_1d(neighbor)[: QUERY_NEIGHBORS - filled[row]]
            together[row, filled[row] : filled[row] + len(neighbors)] = neighbors
            filled[row] += len(neighbors)
    return together
