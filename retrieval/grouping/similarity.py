"""How alike pictures look: by the bits of their perceptual hashes, and by their vectors."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reader import Catalog
from retrieval.types import Ids, Scores, Space, Vectors

Rows: TypeAlias = NDArray[np.int64]
Pairs: TypeAlias = tuple[Rows, Rows]  # the one and the other of each pair, both (n,)
Hashes: TypeAlias = NDArray[np.uint64]  # 64 bits, each saying whether a low frequency is strong
SimilarityFunction: TypeAlias = Callable[
    [Rows, Rows], Scores
]  # of each pair: 0 as any two, 1 the same, NaN unknown

MAX_BRUTE_FORCE_HASHES = 2_000  # so few hashes are compared each with each sooner than sorted into buckets
MAX_PAIRS_IN_MEMORY = 2_000_000  # pairs in memory
BANDS = ((0, 2), (1, 2), (2, 2), (3, 1))  # each 16 bits, and how many of them may differ
MAX_HAMMING_DISTANCE = 10  # the most bits that may differ: with 11 each band could be over its share
MAX_MEAN_SIMILARITY = (
    0.6  # as alike as different photos are to any model known; a library of one scene is more
)
POPCOUNT_TABLE = (
    np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16).sum(1, np.uint8)
)


def hamming_distance(left: Hashes, right: Hashes) -> NDArray[np.uint8]:
    """Count the bits that differ, (n,)."""
    words = np.ascontiguousarray(left ^ right).view(np.uint16).reshape(-1, 4)
    return np.asarray(POPCOUNT_TABLE[words].sum(axis=1, dtype=np.uint8))


def similar_hash_pairs(hashes: Hashes) -> Iterator[Pairs]:
    """Yield all pairs of rows that differ in at most RADIUS bits, each once, the smaller row first.

    Hashes that near agree in one of four bands but for two bits, in the last but for one, so that many
    are sorted into buckets: multi-index hashing, Norouzi, Punjani & Fleet, CVPR 2012.
    """
    if len(hashes) > MAX_BRUTE_FORCE_HASHES:
        yield from _multi_index_pairs(hashes)
        return
    one, other = np.triu_indices(len(hashes), 1)
    near = hamming_distance(hashes[one], hashes[other]) <= MAX_HAMMING_DISTANCE
    yield one[near], other[near]


def _multi_index_pairs(hashes: Hashes) -> Iterator[Pairs]:
    bands = _bands(hashes)
    for band, most in BANDS:
        keys = bands[:, band]
        order = np.argsort(keys, kind="stable")
        sizes = np.bincount(keys, minlength=1 << 16)
        starts = np.cumsum(sizes) - sizes
        for bits in (bits for count in range(most + 1) for bits in combinations(range(16), count)):
            across = keys ^ np.uint16(sum(1 << bit for bit in bits))
            for rows, at in _expand_ranges(starts[across], sizes[across]):
                others = order[at]
                once = rows < others
                rows, others = rows[once], others[once]
                near = hamming_distance(hashes[rows], hashes[others]) <= MAX_HAMMING_DISTANCE
                rows, others = rows[near], others[near]
                fresh = np.ones(len(rows), bool)  # not of a band before, which has yielded it
                for earlier, share in BANDS[:band]:
                    fresh &= POPCOUNT_TABLE[bands[rows, earlier] ^ bands[others, earlier]] > share
                yield rows[fresh], others[fresh]


def _bands(hashes: Hashes) -> NDArray[np.uint16]:
    """Deal the bits out to four bands, (n, 4): neighbours, which are often alike, to different ones."""
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
    """Return how near two different pictures usually are: the mean cosine of all pairs, (n, d).

    Models differ in it: 0.2 for some and 0.6 for others, so that no cosine means the same to all.
    """
    count = len(vectors)
    if count < 2:
        return 0.0
    both = float(np.square(vectors.sum(axis=0)).sum() - np.square(vectors).sum())
    return min(MAX_MEAN_SIMILARITY, max(0.0, both / (count * (count - 1))))


def similarity_function(catalog: Catalog, space: Space, segments: Ids, baseline: float) -> SimilarityFunction:
    """Return what says how alike the segments of two rows are by their vectors, read when asked for."""

    def likeness(one: Rows, other: Rows) -> Scores:
        scores = np.full(len(one), np.nan, np.float32)
        for at in range(0, len(one), 20_000):
            pair = slice(at, at + 20_000)
            left, right = segments[one[pair]], segments[other[pair]]
            ids, vectors = catalog.vectors_of(space, np.unique(np.concatenate([left, right])))
            known = np.isin(left, ids) & np.isin(right, ids)
            left, right = (np.searchsorted(ids, side[known]) for side in (left, right))
            scores[pair][known] = np.einsum("nd,nd->n", vectors[left], vectors[right])
        return (scores - np.float32(baseline)) / np.float32(1 - baseline)

    return likeness
