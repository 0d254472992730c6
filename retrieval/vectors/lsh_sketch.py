"""A sketch of every row: one bit for the side of each of many planes on which it lies.

Rows on the same side of more planes are likely nearer. Comparing the bits of a row takes 5 ns, comparing its
bytes 250 ns. Random hyperplanes: Charikar, STOC 2002.
"""

from typing import TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.types import Ids, Vectors

Distances: TypeAlias = NDArray[np.int32]  # planes between each row and the query

MIN_PLANES = 512  # with 256, 3 times as many real photos had to be compared for the same recall
CHUNK_ROWS = 16_384  # rows picked at a time, so that their bits fit in the CPU cache
MAX_PICKED_SHARE = 0.25  # of all rows; above it, comparing all rows is faster than picking some


def create(dim: int) -> faiss.IndexLSH:
    """Create an empty sketch of random planes, each through the median of the training sample."""
    index = faiss.IndexLSH(dim, max(MIN_PLANES, -(-dim // 64) * 64), True, True)
    index.metric_type = faiss.METRIC_INNER_PRODUCT  # must equal that of the graph; a sketch itself has none
    return index


class LshSketch:
    """A sketch, for searching."""

    def __init__(self, index: faiss.IndexLSH, chunk_rows: int = CHUNK_ROWS) -> None:
        self.index = index
        self.chunk_rows = chunk_rows
        size = index.ntotal * index.code_size
        self.codes = faiss.rev_swig_ptr(index.codes.data(), size).reshape(-1, index.code_size)

    def distances(self, query: Vectors, rows: Ids) -> Distances:
        """Count the planes between a (1, d) query and each of these rows."""
        bits = self.index.sa_encode(query)
        if len(rows) > MAX_PICKED_SHARE * len(self.codes):
            return _hamming_distances(bits, self.codes)[rows]
        picked = np.empty((self.chunk_rows, self.codes.shape[1]), np.uint8)
        chunks = [np.empty(0, np.int32)]
        for at in range(0, len(rows), self.chunk_rows):
            chunk = rows[at : at + self.chunk_rows]
            # With `out` and `clip`, numpy copies complete rows; otherwise it takes 4 times as long.
            chunks.append(
                _hamming_distances(bits, np.take(self.codes, chunk, 0, out=picked[: len(chunk)], mode="clip"))
            )
        return np.concatenate(chunks)

    def distances_to(self, rows: Ids, others: Ids) -> Distances:
        """Count the planes between each row and its others, (n, k); the row itself and -1 are farthest."""
        bits = self.codes.view(np.uint64)
        planes = np.bitwise_count(bits[others] ^ bits[rows][:, None]).sum(axis=2, dtype=np.int32)
        planes[(others < 0) | (others == rows[:, None])] = 8 * self.codes.shape[1]
        return np.asarray(planes, np.int32)

    def sample(self, size: int) -> "SketchSample":
        """Return the sketches of `size` rows, or of all if these are fewer."""
        count = len(self.codes)
        return SketchSample(self, np.linspace(0, max(count - 1, 0), min(size, count), dtype=np.int64))


class SketchSample:
    """The sketches of some rows, evenly spread, in memory."""

    def __init__(self, sketch: LshSketch, rows: Ids) -> None:
        self.index, self.rows = sketch.index, rows
        self.codes = np.take(sketch.codes, rows, 0)

    def nearest(self, query: Vectors, count: int) -> Ids:
        """Return the `count` rows nearest to a (1, d) query, ascending."""
        if count >= len(self.rows):
            return self.rows
        distances = _hamming_distances(self.index.sa_encode(query), self.codes)
        return self.rows[np.sort(np.argpartition(distances, count)[:count])]


def _hamming_distances(query: NDArray[np.uint8], codes: NDArray[np.uint8]) -> Distances:
    """Count the bits in which each row differs from the query."""
    counts = np.empty(len(codes), np.int32)
    pointers = [faiss.swig_ptr(each) for each in (query, codes, counts)]
    faiss.hammings(pointers[0], pointers[1], 1, len(codes), codes.shape[1], pointers[2])
    return counts
