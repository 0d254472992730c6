"""Why files and hits belong together: each reason is a function from what is known of them to linked rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.grouping.similarity import Hashes, Likeness, Pairs, Rows, distance, near_hashes
from retrieval.types import Facts, Reason

BURST = 3.0  # seconds from one picture of a burst to the next
FRAMES = 10.0  # seconds from one moment of a video to its neighbour
NEAR, A_BIT = 0.15, 0.07  # the likeness asked of near-duplicates: of equal hashes, and more for each bit
ALIKE = 0.5  # the likeness of pictures that time or name puts together already
SAME, PLAIN = 0.95, 16  # the likeness asked of pictures whose hashes tell nothing: fewer bits set, or unset
WINDOW = 16  # of many that are equal in hash or camera, each is compared with the next few
BATCH = 200_000  # pairs whose vectors are compared together
ORDINARY = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".avif", ".jxl", ".jp2", ".j2k", ".ico", ".tga", ".ppm", ".pgm", ".pbm"),
    )
)


def copies(facts: Sequence[Facts], likeness: Likeness) -> Iterator[Pairs]:
    """Link what has the same bytes: one content in several places, or several captions of one picture."""
    yield _alike((each.content, each.segment) for each in facts)


def stems(facts: Sequence[Facts], likeness: Likeness) -> Iterator[Pairs]:
    """Link files of one folder whose names differ in the suffix alone: raw and JPEG, a photo and its clip.

    Two ordinary pictures must look alike too: a photo and its mask are often named so.
    """
    named: dict[object, list[int]] = {}
    for row, each in enumerate(facts):
        if each.kind in ("image", "video") and (each.start or 0) <= FRAMES:  # of a film its poster is no pair
            named.setdefault((each.path.parent, each.path.stem.casefold()), []).append(row)
    both = (pair for rows in named.values() for pair in combinations(rows, 2))
    one, other = _pairs((one, other) for one, other in both if facts[one].path != facts[other].path)
    ordinary = np.array([each.path.suffix.lower() in ORDINARY for each in facts], bool)
    sure = ~(ordinary[one] & ordinary[other])
    sure[~sure] = likeness(one[~sure], other[~sure]) >= ALIKE
    yield one[sure], other[sure]


def near_duplicates(facts: Sequence[Facts], likeness: Likeness) -> Iterator[Pairs]:
    """Link pictures resized, compressed again, brightened or cut a little.

    Hashes and vectors must both be near, the one the more the less the other is: hashes alone take all
    plain pictures for one, vectors alone any two dogs on a lawn.
    """
    seen = [row for row, each in enumerate(facts) if each.looks is not None]
    yield _alike(each.content if each.looks is not None else None for each in facts)
    contents = {facts[row].content: row for row in seen}
    rows = _rows(contents[content] for content in sorted(contents))
    looks = np.array([facts[row].looks for row in rows], np.uint64)
    order = np.argsort(looks, kind="stable")
    rows, looks = rows[order], looks[order]
    for one, other in _in_batches(_near(looks)):
        bits = distance(looks[one], looks[other])
        plain = np.minimum(_plainness(looks[one]), _plainness(looks[other])) < PLAIN
        enough = np.where(plain, SAME, NEAR + A_BIT * bits)
        near = likeness(rows[one], rows[other]) >= enough
        yield rows[one[near]], rows[other[near]]


def _near(looks: Hashes) -> Iterator[Pairs]:
    """Yield pairs of ascending hashes that are near; of many equal ones each with the next few."""
    yield from _window(looks)
    some, starts, sizes = np.unique(looks, return_index=True, return_counts=True)
    sizes = np.minimum(sizes, WINDOW)
    for one, other in near_hashes(some):
        for left, right in product(range(sizes[one].max(initial=0)), range(sizes[other].max(initial=0))):
            there = (left < sizes[one]) & (right < sizes[other])
            yield starts[one[there]] + left, starts[other[there]] + right


def _plainness(looks: Hashes) -> NDArray[np.uint8]:
    """Count the bits that are set, or unset if those are fewer: hardly any of a picture of one colour."""
    ones = distance(looks, np.zeros_like(looks))
    return np.minimum(ones, 64 - ones)


def bursts(facts: Sequence[Facts], likeness: Likeness) -> Iterator[Pairs]:
    """Link pictures that one camera took within seconds and that look alike."""
    dated = sorted(
        (each.camera or "", when, str(each.path), row)
        for row, each in enumerate(facts)
        if (when := _taken(each)) is not None
    )
    rows = _rows(row for *_, row in dated)
    times = np.array([when for _, when, *_ in dated])
    cameras = np.unique([camera for camera, *_ in dated], return_inverse=True)[1]
    for one, other in _window(cameras):
        soon = times[other] - times[one] <= BURST
        one, other = rows[one[soon]], rows[other[soon]]
        near = likeness(one, other) >= ALIKE
        yield one[near], other[near]


def frames(facts: Sequence[Facts], likeness: Likeness) -> Iterator[Pairs]:
    """Link moments of one video that are neighbours in time."""
    moments = sorted(
        (each.content, each.start, each.end or each.start, row)
        for row, each in enumerate(facts)
        if each.kind == "video" and each.start is not None
    )
    yield _pairs(
        (one[-1], other[-1])
        for one, other in pairwise(moments)
        if one[0] == other[0] and other[1] - one[2] <= FRAMES
    )


RELATIONS: dict[Reason, Callable[[Sequence[Facts], Likeness], Iterator[Pairs]]] = {
    "copy": copies,
    "pair": stems,
    "near-duplicate": near_duplicates,
    "burst": bursts,
    "frames": frames,
}


def _taken(facts: Facts) -> float | None:
    """Return when a picture was taken, in seconds on the camera's own clock."""
    try:
        when = datetime.fromisoformat(facts.taken or "") if facts.kind == "image" else None
    except ValueError:
        return None
    return None if when is None else when.replace(tzinfo=UTC).timestamp()


def _alike(keys: Iterable[object]) -> Pairs:
    """Link each row to the first of the same key, None to none."""
    first: dict[object, int] = {}
    links = [(first.setdefault(key, row), row) for row, key in enumerate(keys) if key is not None]
    return _pairs((one, other) for one, other in links if one != other)


def _window(keys: NDArray[Any]) -> Iterator[Pairs]:
    """Link each row with the next few, as long as they have the same key; equal keys are neighbours."""
    for step in range(1, WINDOW + 1):
        one = np.flatnonzero(keys[:-step] == keys[step:])
        yield one, one + step


def _in_batches(pairs: Iterable[Pairs]) -> Iterator[Pairs]:
    """Yield the same pairs, many at a time."""
    held, size = [(_rows(()), _rows(()))], 0
    for one, other in pairs:
        held.append((one, other))
        size += len(one)
        if size > BATCH:
            yield _joined(held)
            held, size = held[:1], 0
    yield _joined(held)


def _joined(pairs: Sequence[Pairs]) -> Pairs:
    return np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])


def _pairs(links: Iterable[tuple[int, int]]) -> Pairs:
    both = np.array([*links], np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _rows(rows: Iterable[int]) -> Rows:
    return np.fromiter(rows, np.int64)
