"""Similarity of images by perceptual hashes and by vectors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reader import Catalog
from retrieval.grouping.pairs import Pairs, Rows, concatenate_pairs, row_array
from retrieval.types import Ids, Scores, Space, Vectors

Hashes: TypeAlias = NDArray[np.uint64]  # 64 bits, each set if a low frequency is strong
SimilarityFunction: TypeAlias = Callable[
    [Rows, Rows], Scores
]  # of each pair: 0 for any two images, 1 for equal ones, NaN if unknown

MAX_BRUTE_FORCE_HASHES = 2_000  # up to here, comparing all pairs is faster than buckets
BRUTE_FORCE_NEIGHBORS = 256  # of each hash, if all pairs are compared
MAX_PAIRS_IN_MEMORY = 2_000_000  # pairs in memory
BUCKET_WINDOW = 1_024  # rows of a large bucket with which each row is compared
BANDS = ((0, 2), (1, 2), (2, 2), (3, 1))  # bands of 16 bits, and how many of them may differ
MAX_HAMMING_DISTANCE = 10  # bits that may differ; with 11 every band could exceed its limit
MAX_MEAN_SIMILARITY = 0.6  # the mean of different photos in any known model; one scene alone exceeds it
POPCOUNT_TABLE = (
    np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16).sum(1, np.uint8)
)


class ImageComparison(Protocol):
    """A comparison of the pixels of files, by their rows."""

    def rank(self, one: int, others: Sequence[int]) -> list[int]:
        """Return the positions of the others, the most similar first."""
        ...

    def show_the_same(self, one: int, other: int) -> bool:
        """Return True if two files show the same image and, if they have text, the same text."""
        ...


@dataclass(frozen=True, slots=True)
class FileComparison:
    """Comparisons of files by their vectors and by their pixels."""

    similarity: SimilarityFunction
    images: ImageComparison


def hamming_distance(left: Hashes, right: Hashes) -> NDArray[np.uint8]:
    """Count the bits that differ, (n,)."""
    words = np.ascontiguousarray(left ^ right).view(np.uint16).reshape(-1, 4)
    return np.asarray(POPCOUNT_TABLE[words].sum(axis=1, dtype=np.uint8))


def similar_hash_pairs(hashes: Hashes) -> Iterator[Pairs]:
    """Yield all pairs of rows that differ in at most MAX_HAMMING_DISTANCE bits, each once, smaller row first.

    Such hashes differ in at most two bits of some band, or one of the last, so many hashes are sorted into
    buckets by band: multi-index hashing, Norouzi, Punjani & Fleet, CVPR 2012.
    """
    if len(hashes) > MAX_BRUTE_FORCE_HASHES:
        yield from _multi_index_pairs(hashes)
        return
    one, other = np.triu_indices(len(hashes), 1)
    near = hamming_distance(hashes[one], hashes[other]) <= MAX_HAMMING_DISTANCE
    yield one[near], other[near]


def _multi_index_pairs(hashes: Hashes) -> Iterator[Pairs]:
    bands = _bands(hashes)
    for band, max_bits in BANDS:
        keys = bands[:, band]
        order = np.argsort(keys, kind="stable")
        sizes = np.bincount(keys, minlength=1 << 16)
        starts = np.cumsum(sizes) - sizes
        for bits in (bits for count in range(max_bits + 1) for bits in combinations(range(16), count)):
            across = keys ^ np.uint16(sum(1 << bit for bit in bits))
            for rows, at in _expand_ranges(starts[across], sizes[across]):
                others = order[at]
                once = rows < others
                rows, others = rows[once], others[once]
                near = hamming_distance(hashes[rows], hashes[others]) <= MAX_HAMMING_DISTANCE
                rows, others = rows[near], others[near]
                is_new = np.ones(len(rows), bool)  # not yielded by an earlier band
                for earlier, max_bits_earlier in BANDS[:band]:
                    is_new &= POPCOUNT_TABLE[bands[rows, earlier] ^ bands[others, earlier]] > max_bits_earlier
                yield rows[is_new], others[is_new]


def nearest_hash_pairs(hashes: Hashes, max_neighbors: int) -> Pairs:
    """Return the pairs of `similar_hash_pairs`; of many hashes each with its nearest `max_neighbors` or so.

    `hashes` are ascending. Of a large bucket, each row is compared with those next to it in that order only,
    so the time is linear even if all hashes are similar, as those of a time-lapse are.
    """
    if len(hashes) <= MAX_BRUTE_FORCE_HASHES:
        one, other = concatenate_pairs(similar_hash_pairs(hashes))
        return _nearest_pairs(hashes, one, other, max(max_neighbors, BRUTE_FORCE_NEIGHBORS))
    bands, counts = _bands(hashes), np.zeros(len(hashes), np.int64)
    codes = [row_array(())]
    for count in range(max(most for _, most in BANDS) + 1):
        for keys in (bands[:, band] for band, most in BANDS if count <= most):
            order = np.argsort(keys, kind="stable")
            sizes = np.bincount(keys, minlength=1 << 16)
            starts = np.cumsum(sizes) - sizes
            places = keys[order].astype(np.uint64) << np.uint64(48) | hashes[order] >> np.uint64(16)
            for bits in combinations(range(16), count):
                active = np.flatnonzero(counts < max_neighbors)
                across = keys[active] ^ np.uint16(sum(1 << bit for bit in bits))
                place = across.astype(np.uint64) << np.uint64(48) | hashes[active] >> np.uint64(16)
                window = np.minimum(sizes[across], BUCKET_WINDOW)
                first = np.searchsorted(places, place) - window // 2
                first = np.clip(first, starts[across], starts[across] + sizes[across] - window)
                for at, position in _expand_ranges(first, window):
                    found = _nearest_pairs(hashes, active[at], order[position], max_neighbors)
                    np.add.at(counts, found[0], 1)
                    codes.append(np.minimum(*found) * len(hashes) + np.maximum(*found))
    one, other = np.divmod(np.unique(np.concatenate(codes)), len(hashes))
    return one, other


def _nearest_pairs(hashes: Hashes, rows: Rows, others: Rows, max_neighbors: int) -> Pairs:
    """Return the pairs of similar hashes, of each row those with its nearest others; rows are ascending."""
    bits = hamming_distance(hashes[rows], hashes[others])
    near = (bits <= MAX_HAMMING_DISTANCE) & (rows != others)
    rows, others, bits = rows[near], others[near], bits[near]
    order = np.lexsort((bits, rows))
    rows, others = rows[order], others[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return rows[rank < max_neighbors], others[rank < max_neighbors]


def _bands(hashes: Hashes) -> NDArray[np.uint16]:
    """Return the bits in four bands, (n, 4); neighbors, which often agree, are in different bands."""
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).reshape(-1, 16, 4)
    packed = np.packbits(bits.transpose(0, 2, 1).reshape(-1, 64), axis=1)
    return packed.view(np.uint16)


def _expand_ranges(starts: Rows, sizes: Rows) -> Iterator[Pairs]:
    """Yield (row, position) for all positions starts[row] ... starts[row] + sizes[row], some at a time."""
    ends = np.cumsum(sizes)
    first = 0
    while first < len(sizes):
        before = ends[first] - sizes[first]
        last = max(first + 1, int(np.searchsorted(ends, before + MAX_PAIRS_IN_MEMORY, "right")))
        part = sizes[first:last]
        rows = np.repeat(np.arange(first, last), part)
        within = np.arange(len(rows)) - np.repeat(ends[first:last] - part - before, part)
        yield rows, starts[rows] + within
        first = last


def mean_similarity(vectors: Vectors) -> float:
    """Return the mean cosine of all pairs of different vectors, (n, d).

    It depends on the model: 0.2 for some and 0.6 for others, so cosines of different models do not compare.
    """
    count = len(vectors)
    if count < 2:
        return 0.0
    both = float(np.square(vectors.sum(axis=0)).sum() - np.square(vectors).sum())
    return min(MAX_MEAN_SIMILARITY, max(0.0, both / (count * (count - 1))))


def similarity_function(catalog: Catalog, space: Space, segments: Ids, baseline: float) -> SimilarityFunction:
    """Return the similarity function of the segments of rows, which reads vectors on demand."""

    def similarity(one: Rows, other: Rows) -> Scores:
        scores = np.full(len(one), np.nan, np.float32)
        for at in range(0, len(one), 20_000):
            pair = slice(at, at + 20_000)
            left, right = segments[one[pair]], segments[other[pair]]
            ids, vectors = catalog.vectors_of(space, np.unique(np.concatenate([left, right])))
            known = np.isin(left, ids) & np.isin(right, ids)
            left, right = (np.searchsorted(ids, side[known]) for side in (left, right))
            scores[pair][known] = np.einsum("nd,nd->n", vectors[left], vectors[right])
        return (scores - np.float32(baseline)) / np.float32(1 - baseline)

    return similarity
