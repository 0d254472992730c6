"""The rules of grouping: a function for each reason, from file attributes to pairs of linked rows."""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.grouping.near_duplicates import near_duplicates
from retrieval.grouping.pairs import Pairs, equal_key_pairs, pairs_from_links, row_array
from retrieval.grouping.similarity import FileComparison
from retrieval.types import FileAttributes, GroupReason

MAX_BURST_GAP_SECONDS = 3.0  # between consecutive images of a burst
MAX_SCENE_GAP_SECONDS = 10.0  # between neighboring scenes of a video
MIN_RELATED_SIMILARITY = 0.5  # of images that are also related by time or name
MAX_COMPARED_NEIGHBORS = 16  # neighbors with which each of many images of one camera is compared
COMMON_IMAGE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".avif", ".jxl", ".jp2", ".j2k", ".ico", ".tga", ".ppm", ".pgm", ".pbm"),
    )
)


def copies(files: Sequence[FileAttributes], comparison: FileComparison) -> Iterator[Pairs]:
    """Link files with the same bytes, and captions of the same image."""
    yield equal_key_pairs((file.content, file.segment) for file in files)


def same_stem_pairs(files: Sequence[FileAttributes], comparison: FileComparison) -> Iterator[Pairs]:
    """Link files of one folder whose names differ only in the suffix: raw and JPEG, a photo and its clip.

    Two common images must also be similar, because a photo and its mask often have such names.
    """
    named: dict[object, list[int]] = {}
    for row, each in enumerate(files):
        if (
            each.kind in ("image", "video") and (each.start or 0) <= MAX_SCENE_GAP_SECONDS
        ):  # of a film its poster is no pair
            folder, name = os.path.split(each.path)
            dot = name.rfind(".")
            stem = name[:dot] if 0 < dot < len(name) - 1 else name
            named.setdefault((folder, stem.casefold()), []).append(row)
    both = (pair for rows in named.values() for pair in combinations(rows, 2))
    one, other = pairs_from_links((one, other) for one, other in both if files[one].path != files[other].path)
    ordinary = [
        np.array([files[row].path.suffix.lower() in COMMON_IMAGE_SUFFIXES for row in side.tolist()], bool)
        for side in (one, other)
    ]
    sure = ~(ordinary[0] & ordinary[1])
    sure[~sure] = comparison.similarity(one[~sure], other[~sure]) >= MIN_RELATED_SIMILARITY
    yield one[sure], other[sure]


def bursts(files: Sequence[FileAttributes], comparison: FileComparison) -> Iterator[Pairs]:
    """Link similar images that one camera took within seconds."""
    dated = sorted(
        (each.camera or "", when, str(each.path), row)
        for row, each in enumerate(files)
        if (when := _capture_time(each)) is not None
    )
    rows = row_array(row for *_, row in dated)
    times = np.array([when for _, when, *_ in dated])
    cameras = np.unique([camera for camera, *_ in dated], return_inverse=True)[1]
    for one, other in _neighbor_pairs(cameras):
        soon = times[other] - times[one] <= MAX_BURST_GAP_SECONDS
        one, other = rows[one[soon]], rows[other[soon]]
        near = comparison.similarity(one, other) >= MIN_RELATED_SIMILARITY
        yield one[near], other[near]


def adjacent_scenes(files: Sequence[FileAttributes], comparison: FileComparison) -> Iterator[Pairs]:
    """Link neighboring scenes of one video."""
    moments = sorted(
        (each.content, each.start, each.end or each.start, row)
        for row, each in enumerate(files)
        if each.kind == "video" and each.start is not None
    )
    yield pairs_from_links(
        (one[-1], other[-1])
        for one, other in pairwise(moments)
        if one[0] == other[0] and other[1] - one[2] <= MAX_SCENE_GAP_SECONDS
    )


GROUPING_RULES: dict[GroupReason, Callable[[Sequence[FileAttributes], FileComparison], Iterator[Pairs]]] = {
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


def _neighbor_pairs(keys: NDArray[Any]) -> Iterator[Pairs]:
    """Link each row with the next few that have the same key; equal keys are adjacent."""
    for step in range(1, MAX_COMPARED_NEIGHBORS + 1):
        one = np.flatnonzero(keys[:-step] == keys[step:])
        yield one, one + step
