"""Compressed vectors, of which all are compared: quantizers and learned projections."""

import faiss
import numpy as np

from retrieval.types import Ids, Vectors
from tests.bench.methods.base import Method


class Codes(Method):
    """A quantizer of FAISS by its factory name."""

    efforts = (0,)  # the search is exhaustive

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Train the quantizer and encode the vectors."""
        self.index = faiss.index_factory(vectors.shape[1], self.name, faiss.METRIC_INNER_PRODUCT)
        self.index.train(vectors[:50_000])
        self.index.add(vectors)
        self.bytes = float(self.index.sa_code_size())

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows by their codes."""
        return self.index.search(query, count)[1][0]


class LearnedProjection(Codes):
    """A linear autoencoder of the vectors that keeps their products with texts, with 8 bits per dimension.

    The best one of a rank has a closed form: the principal components of the vectors in the metric of the
    texts, as LeanVec: Tepper et al., TMLR 2024. Without texts it is principal component analysis.
    """

    def __init__(self, rank: int, with_texts: bool = True) -> None:
        super().__init__("SQ8")
        self.rank, self.with_texts = rank, with_texts

    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Learn the projections of queries and of vectors, and encode the vectors."""
        sample = vectors[:50_000].astype(np.float64)
        dim = vectors.shape[1]
        moment = texts.astype(np.float64).T @ texts / len(texts) if self.with_texts else np.eye(dim)
        values, axes = np.linalg.eigh(moment + 1e-6 * np.trace(moment) / dim * np.eye(dim))
        root, inverse = (axes * values**0.5) @ axes.T, (axes * values**-0.5) @ axes.T
        _, components = np.linalg.eigh(root @ (sample.T @ sample) @ root)
        best = components[:, ::-1][:, : self.rank]
        self.of_vectors, self.of_queries = (
            np.ascontiguousarray(each, np.float32) for each in (root @ best, inverse @ best)
        )
        self.index = faiss.index_factory(self.rank, self.name, faiss.METRIC_INNER_PRODUCT)
        projected = vectors @ self.of_vectors
        self.index.train(projected[:50_000])
        self.index.add(projected)
        self.bytes = float(self.index.sa_code_size())

    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return the best rows by their codes."""
        return self.index.search(query @ self.of_queries, count)[1][0]
