"""The rules of grouping: a function for each reason, from file attributes to pairs of linked rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.grouping.similarity import (
    Hashes,
    Pairs,
    Rows,
    SimilarityFunction,
    hamming_distance,
    similar_hash_pairs,
)
from retrieval.types import FileAttributes, GroupReason

MAX_BURST_GAP_SECONDS = 3.0  # between consecutive images of a burst
MAX_SCENE_GAP_SECONDS = 10.0  # between neighboring scenes of a video
# Required similarity of near-duplicates: with equal hashes, and added for each differing bit.
MIN_NEAR_DUPLICATE_SIMILARITY = 0.15
SIMILARITY_PER_BIT = 0.07
MIN_RELATED_SIMILARITY = 0.5  # of images that are also related by time or name
# Required similarity of images whose hashes have few set, or few unset, bits.
MIN_PLAIN_IMAGE_SIMILARITY = 0.95
MIN_MINORITY_BITS = 16
MAX_COMPARED_NEIGHBORS = 16  # neighbors with which each of many files with equal hash or camera is compared
PAIRS_PER_BATCH = 200_000  # pairs compared at a time
COMMON_IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".avif", ".jxl", ".jp2", ".j2k", ".ico", ".tga", ".ppm", ".pgm", ".pbm"),
    )
)


def copies(files: Sequence[FileAttributes], similarity: SimilarityFunction) -> Iterator[Pairs]:
    """Link files with the same bytes, and captions of the same image."""
    yield _equal_key_pairs((file.content, file.segment) for file in files)


def same_stem_pairs(files: Sequence[FileAttributes], similarity: SimilarityFunction) -> Iterator[Pairs]:
    """Link files of one folder whose names differ only in the suffix: raw and JPEG, a photo and its clip.

    Two common images must also be similar, because a photo and its mask often have such names.
    """
    named: dict[object, list[int]] = {}
    for row, each in enumerate(files):
        if (
            each.kind in ("image", "video") and (each.start or 0) <= MAX_SCENE_GAP_SECONDS
        ):  # of a film its poster is no pair
            named.setdefault((each.path.parent, each.path.stem.casefold()), []).append(row)
    both = (pair for rows in named.values() for pair in combinations(rows, 2))
    one, other = _pairs_from_links(
        (one, other) for one, other in both if files[one].path != files[other].path
    )
    ordinary = np.array([each.path.suffix.lower() in COMMON_IMAGE_SUFFIXES for each in files], bool)
    sure = ~(ordinary[one] & ordinary[other])
    sure[~sure] = similarity(one[~sure], other[~sure]) >= MIN_RELATED_SIMILARITY
    yield one[sure], other[sure]


def near_duplicates(files: Sequence[FileAttributes], similarity: SimilarityFunction) -> Iterator[Pairs]:
    """Link images that were resized, recompressed, brightened or slightly cropped.

    Hashes and vectors must both be near; the farther the hashes, the nearer the vectors. Hashes alone would
    link all plain images, vectors alone any two dogs on a lawn.
    """
    hashed_rows = [row for row, each in enumerate(files) if each.perceptual_hash is not None]
    yield _equal_key_pairs(each.content if each.perceptual_hash is not None else None for each in files)
    contents = {files[row].content: row for row in hashed_rows}
    rows = _row_array(contents[content] for content in sorted(contents))
    hashes = np.array([files[row].perceptual_hash for row in rows], np.uint64)
    order = np.argsort(hashes, kind="stable")
    rows, hashes = rows[order], hashes[order]
    for one, other in _batch_pairs(_near_duplicate_candidates(hashes)):
        bits = hamming_distance(hashes[one], hashes[other])
        plain = np.minimum(_minority_bits(hashes[one]), _minority_bits(hashes[other])) < MIN_MINORITY_BITS
        enough = np.where(
            plain, MIN_PLAIN_IMAGE_SIMILARITY, MIN_NEAR_DUPLICATE_SIMILARITY + SIMILARITY_PER_BIT * bits
        )
        near = similarity(rows[one], rows[other]) >= enough
        yield rows[one[near]], rows[other[near]]


def _near_duplicate_candidates(hashes: Hashes) -> Iterator[Pairs]:
    """Yield near pairs of ascending hashes; each of many equal hashes only with the next few."""
    yield from _neighbor_pairs(hashes)
    distinct_hashes, starts, sizes = np.unique(hashes, return_index=True, return_counts=True)
    sizes = np.minimum(sizes, MAX_COMPARED_NEIGHBORS)
    for one, other in similar_hash_pairs(distinct_hashes):
        for left, right in product(range(sizes[one].max(initial=0)), range(sizes[other].max(initial=0))):
            in_both = (left < sizes[one]) & (right < sizes[other])
            yield starts[one[in_both]] + left, starts[other[in_both]] + right


def _minority_bits(hashes: Hashes) -> NDArray[np.uint8]:
    """Count the bits that are set, or unset if those are fewer: hardly any for an image of one color."""
    ones = hamming_distance(hashes, np.zeros_like(hashes))
    return np.minimum(ones, 64 - ones)


def bursts(files: Sequence[FileAttributes], similarity: SimilarityFunction) -> Iterator[Pairs]:
    """Link similar images that one camera took within seconds."""
    dated = sorted(
        (each.camera or "", when, str(each.path), row)
        for row, each in enumerate(files)
        if (when := _capture_time(each)) is not None
    )
    rows = _row_array(row for *_, row in dated)
    times = np.array([when for _, when, *_ in dated])
    cameras = np.unique([camera for camera, *_ in dated], return_inverse=True)[1]
    for one, other in _neighbor_pairs(cameras):
        soon = times[other] - times[one] <= MAX_BURST_GAP_SECONDS
        one, other = rows[one[soon]], rows[other[soon]]
        near = similarity(one, other) >= MIN_RELATED_SIMILARITY
        yield one[near], other[near]


def adjacent_scenes(files: Sequence[FileAttributes], similarity: SimilarityFunction) -> Iterator[Pairs]:
    """Link neighboring scenes of one video."""
    moments = sorted(
        (each.content, each.start, each.end or each.start, row)
        for row, each in enumerate(files)
        if each.kind == "video" and each.start is not None
    )
    yield _pairs_from_links(
        (one[-1], other[-1])
        for one, other in pairwise(moments)
        if one[0] == other[0] and other[1] - one[2] <= MAX_SCENE_GAP_SECONDS
    )


GROUPING_RULES: dict[
    GroupReason, Callable[[Sequence[FileAttributes], SimilarityFunction], Iterator[Pairs]]
] = {
    "copy": copies,
    "pair": same_stem_pairs,
    "near-duplicate": near_duplicates,
    "burst": bursts,
    "frames": adjacent_scenes,
}


def _capture_time(file: FileAttributes) -> float | None:
    """Return the capture time of an image, in seconds on the clock of the camera."""
    try:
        when = datetime.fromisoformat(file.taken or "") if file.kind == "image" else None
    except ValueError:
        return None
    return None if when is None else when.replace(tzinfo=UTC).timestamp()


def _equal_key_pairs(keys: Iterable[object]) -> Pairs:
    """Link each row to the first with the same key; None is not a key."""
    first: dict[object, int] = {}
    links = [(first.setdefault(key, row), row) for row, key in enumerate(keys) if key is not None]
    return _pairs_from_links((one, other) for one, other in links if one != other)


def _neighbor_pairs(keys: NDArray[Any]) -> Iterator[Pairs]:
    """Link each row with the next few that have the same key; equal keys are adjacent."""
    for step in range(1, MAX_COMPARED_NEIGHBORS + 1):
        one = np.flatnonzero(keys[:-step] == keys[step:])
        yield one, one + step


def _batch_pairs(pairs: Iterable[Pairs]) -> Iterator[Pairs]:
    """Yield the same pairs in large batches."""
    batch, size = [(_row_array(()), _row_array(()))], 0
    for one, other in pairs:
        batch.append((one, other))
        size += len(one)
        if size > PAIRS_PER_BATCH:
            yield _concatenate_pairs(batch)
            batch, size = batch[:1], 0
    yield _concatenate_pairs(batch)


def _concatenate_pairs(pairs: Sequence[Pairs]) -> Pairs:
    return np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])


def _pairs_from_links(links: Iterable[tuple[int, int]]) -> Pairs:
    both = np.array([*links], np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _row_array(rows: Iterable[int]) -> Rows:
    return np.fromiter(rows, np.int64)
