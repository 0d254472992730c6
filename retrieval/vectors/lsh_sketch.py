"""A sketch of every row: one bit for the side of each of many planes on which it lies.

Rows on the same side of more planes are likely nearer. Comparing the bits of a row takes 5 ns, comparing its
bytes 250 ns. Random hyperplanes: Charikar, STOC 2002.
"""

from typing import TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.types import Ids, Scores, Vectors
from retrieval.vectors import flat

Distances: TypeAlias = NDArray[np.int32]  # planes between each row and the query
Bits: TypeAlias = NDArray[np.uint8]  # the sides of planes, 8 a byte

MIN_PLANES = 512  # with 256, 3 times as many real photos had to be compared for the same recall
CHUNK_ROWS = 16_384  # rows picked at a time, so that their bits fit in the CPU cache
MAX_PICKED_SHARE = 0.25  # of all rows; above it, comparing all rows is faster than picking some

# Rows compared after the sketch: a number and a share of all; then so many times as many.
MIN_COMPARED_ROWS, MIN_COMPARED_SHARE, GROWTH_FACTOR = 1_000, 0.01, 4
HISTOGRAM_ROWS = 100_000  # or more, from which the number of rows within a distance is estimated
MAX_COMPARED_SHARE = 0.25  # of the rows; above it, the sketch is not selective and all are compared


def plane_count(dim: int) -> int:
    """Return the number of planes, a multiple of 64."""
    return max(MIN_PLANES, -(-dim // 64) * 64)


def create(dim: int) -> faiss.IndexLSH:
    """Create an empty sketch of random planes, each through the median of the training sample."""
    index = faiss.IndexLSH(dim, plane_count(dim), True, True)
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
            return hamming_distances(bits, self.codes)[rows]
        picked = np.empty((self.chunk_rows, self.codes.shape[1]), np.uint8)
        chunks = [np.empty(0, np.int32)]
        for at in range(0, len(rows), self.chunk_rows):
            chunk = rows[at : at + self.chunk_rows]
            # With `out` and `clip`, numpy copies complete rows; otherwise it takes 4 times as long.
            chunks.append(
                hamming_distances(bits, np.take(self.codes, chunk, 0, out=picked[: len(chunk)], mode="clip"))
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
        distances = hamming_distances(self.index.sa_encode(query), self.codes)
        return self.rows[np.sort(np.argpartition(distances, count)[:count])]


def hamming_distances(query: Bits, codes: Bits) -> Distances:
    """Count the bits in which each row, (n, bytes), differs from the query, (1, bytes)."""
    counts = np.empty(len(codes), np.int32)
    count_differences(query, codes, counts)
    return counts


def count_differences(query: Bits, codes: Bits, counts: Distances) -> None:
    """Write the Hamming distance of each row, (n, bytes), from the query, (1, bytes), to `counts`."""
    pointers = faiss.swig_ptr(query), faiss.swig_ptr(codes), faiss.swig_ptr(counts)
    faiss.hammings(pointers[0], pointers[1], 1, len(codes), codes.shape[1], pointers[2])


def compare_nearest(
    storage: faiss.IndexScalarQuantizer,
    query: Vectors,
    count: int,
    rows: NDArray[np.integer],
    distances: Distances,
    most: int | None = None,
) -> tuple[Scores, Ids]:
    """Compare the rows nearest by their sketch, and more until the best `count` are well within them.

    If the better half of the best rows is in the nearer half of the compared rows, hardly any is missing.
    Unlike a fixed number of compared rows, this holds for any kind of query, (1, d). About `most` rows are
    compared at last, by default all.
    """
    step = max(1, len(distances) // HISTOGRAM_ROWS)
    within = step * np.cumsum(np.bincount(distances[::step], minlength=1))  # distance -> rows within it
    most = len(rows) if most is None else max(most, GROWTH_FACTOR**2 * count)
    reach = max(MIN_COMPARED_ROWS + int(MIN_COMPARED_SHARE * len(rows)), GROWTH_FACTOR * count)
    reach = reach if most >= len(rows) else min(reach, most // GROWTH_FACTOR)
    while True:
        inner, outer = np.searchsorted(within, (reach // 2, reach))
        at = np.flatnonzero(distances <= outer) if reach < len(rows) else np.arange(len(rows))
        at = at[np.argsort(rows[at])]
        near = rows[at].astype(np.int64)
        scores, best = flat.search(storage, query, count, near)
        if len(near) == len(rows) or reach >= most:
            return scores, best
        better = distances[at[np.searchsorted(near, best[0, : (count + 1) // 2])]]
        if (better <= inner).all():
            return scores, best
        is_selective = reach * GROWTH_FACTOR < MAX_COMPARED_SHARE * len(rows)
        reach = min(reach * GROWTH_FACTOR if is_selective else len(rows), most)
