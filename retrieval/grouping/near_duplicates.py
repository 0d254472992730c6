"""Find near-duplicates: stars of images around the best of them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.grouping.pairs import Pairs, Rows, connected_components, pairs_from_links, row_array
from retrieval.grouping.quality import by_quality
from retrieval.grouping.similarity import FileComparison, Hashes, hamming_distance, nearest_hash_pairs
from retrieval.types import FileAttributes

# Required similarity: with equal hashes, and added for each differing bit.
MIN_SIMILARITY = -0.15
SIMILARITY_PER_BIT = 0.1
# Required similarity of images whose hashes have few set, or few unset, bits.
MIN_PLAIN_IMAGE_SIMILARITY = 0.95
MIN_MINORITY_BITS = 16
MAX_NEIGHBORS = 32  # with near hashes, with which each of many images is compared
MAX_FAILURES = 3  # in a row of pixel comparisons, before the search for duplicates of an image ends


def near_duplicates(files: Sequence[FileAttributes], comparison: FileComparison) -> Iterator[Pairs]:
    """Link images that were resized, recompressed, brightened or slightly cropped to the best of them.

    Hashes and vectors must both be near; the farther the hashes, the nearer the vectors. Hashes alone would
    link all plain images, vectors alone any two dogs on a lawn. Then the pixels are compared.

    Documents of several pages and animations are left out, because only their first page was measured.
    Each image is linked to one better image at most: the ends of a slow pan share nothing, although each of
    its frames is like the next. The time is linear in the number of images.
    """
    contents = defaultdict[int, list[int]](list)
    for row, file in enumerate(files):
        if file.perceptual_hash is not None and file.frames <= 1:
            contents[file.content].append(row)
    copies = [[rows[at] for at in by_quality([files[row] for row in rows])] for rows in contents.values()]
    yield pairs_from_links((best, copy) for best, *others in copies for copy in others)
    first = [rows[0] for rows in copies]
    images = sorted((files[row].perceptual_hash or 0, str(files[row].path), row) for row in first)
    candidates = _Candidates(
        row_array(row for *_, row in images), np.array([hash_ for hash_, *_ in images], np.uint64), comparison
    )
    yield pairs_from_links(_stars(files, candidates))


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Images by their hashes, ascending."""

    rows: Rows
    hashes: Hashes
    comparison: FileComparison

    def near(self, one: Rows, other: Rows) -> NDArray[np.bool_]:
        """Return which pairs of images have near hashes and vectors, (n,)."""
        left, right = self.hashes[one], self.hashes[other]
        bits = hamming_distance(left, right)
        plain = np.minimum(_minority_bits(left), _minority_bits(right)) < MIN_MINORITY_BITS
        enough = np.where(plain, MIN_PLAIN_IMAGE_SIMILARITY, MIN_SIMILARITY + SIMILARITY_PER_BIT * bits)
        return np.asarray(self.comparison.similarity(self.rows[one], self.rows[other]) >= enough)

    def pairs(self) -> Pairs:
        """Return the near pairs; of many images with near hashes, each with some of them."""
        one, other = nearest_hash_pairs(self.hashes, MAX_NEIGHBORS)
        near = self.near(one, other)
        return one[near], other[near]


def _stars(files: Sequence[FileAttributes], candidates: _Candidates) -> Iterator[tuple[int, int]]:
    """Yield each leader with each of its members; the best image that is left is the next leader."""
    pairs = candidates.pairs()
    neighbors = defaultdict[int, list[int]](list)
    for left, right in zip(*(side.tolist() for side in pairs), strict=True):
        neighbors[left].append(right)
        neighbors[right].append(left)
    rows = candidates.rows.tolist()
    for component in connected_components(len(rows), [pairs]):
        left_over = set(component)
        for at in by_quality([files[rows[at]] for at in component]) if len(component) > 1 else ():
            leader = component[at]
            if leader in left_over:
                for member in _members(leader, neighbors, left_over, candidates):
                    yield rows[leader], rows[member]


def _members(
    leader: int, neighbors: Mapping[int, Sequence[int]], left_over: set[int], candidates: _Candidates
) -> Iterator[int]:
    """Yield the images that show the same as the leader; they and the leader leave `left_over`.

    They are looked for among the neighbors of the leader, then among those of its members, and so on.
    """
    rows, images = candidates.rows.tolist(), candidates.comparison.images
    left_over.discard(leader)
    tested, frontier, failures = {leader}, [leader], 0
    while frontier:
        found = {other for member in frontier for other in neighbors[member] if other in left_over} - tested
        tested |= found
        others = row_array(sorted(found))
        near = others[candidates.near(np.full(len(others), leader), others)].tolist()
        ranked = images.rank(rows[leader], [rows[other] for other in near])
        frontier = []
        for other in (near[position] for position in ranked):
            if failures == MAX_FAILURES:
                return
            if images.show_the_same(rows[leader], rows[other]):
                left_over.discard(other)
                frontier.append(other)
                failures = 0
                yield other
            else:
                failures += 1


def _minority_bits(hashes: Hashes) -> NDArray[np.uint8]:
    """Count the bits that are set, or unset if those are fewer: hardly any for an image of one color."""
    ones = hamming_distance(hashes, np.zeros_like(hashes))
    return np.minimum(ones, 64 - ones)
