"""Where a video's scenes begin: what its packets and samples tell, what must be decoded to know more.

A cut costs bits: the first picture of a scene is coded as a key frame, or in a packet many times as large
as its neighbours. So packets tell where a cut may be, and samples on both sides whether the embedding moves.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from indexer.frames import LEAST, SPACING, Jump, Reel, Run, Stretch
from retrieval.records import Vectors

STILL = 0.012  # 1 - cosine of two samples up to which nothing has happened
MOVED = 0.15  # from which on it is another scene, whatever lies between
DOUBT = 0.05  # from which on one looks for a cut though no packet tells of it
STEP = 0.006  # of two frames that follow each other: a cut, if they are unlike at a glance, too
PROMINENT = 4.0  # times as unlike as is usual there
SPIKE = 4.0  # times as large as the packets around it
CALM = 1.0  # key frames' worth of bytes between two samples: little has moved
SPARSE, TOO_SPARSE = (
    1.25 * SPACING,
    12.0,
)  # seconds without a key frame that are decoded: if there is time, always
PATIENCE, SHARE = 20.0, 0.05  # seconds of a video, and the part of it, that may be decoded beside key frames
SHORTEST, LONGEST = 0.3, 120.0  # seconds of a scene


@dataclass(slots=True)
class Sample:
    """A frame that was embedded: its unit vector (d,), a WebP of it, how sharp it is, whether it is blank."""

    time: int
    vector: Vectors
    thumbnail: bytes | None
    sharpness: float
    blank: bool


class Gap(NamedTuple):
    """Packets between two samples that are worth decoding: their rows, the suspects, how urgent it is."""

    number: int  # of the first sample
    urgency: int  # 0 is sure to be worth it
    rows: tuple[int, int]
    windows: tuple[tuple[int, int], ...]
    every: bool
    believed: int | None  # when a scene begins, if it is not decoded


class Step(NamedTuple):
    """Two frames that follow each other, of two scenes: their times, how far apart, and the second."""

    before: int
    time: int
    moved: float
    sample: Sample


@dataclass(slots=True)
class Scene:
    """Samples that belong together, from the time of the first frame to that of the next scene's."""

    start: int
    end: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def vector(self) -> Vectors:
        """Return the unit mean of its samples' vectors, (d,), blank ones left out where there are others."""
        return mean([sample.vector for sample in self.samples if not sample.blank or self.blank])

    @property
    def blank(self) -> bool:
        """Say whether nothing is to be seen."""
        return all(sample.blank for sample in self.samples)

    @property
    def clearest(self) -> Sample:
        """Return the sharpest sample."""
        return max(self.samples, key=lambda sample: (not sample.blank, sample.sharpness))


def mean(vectors: Sequence[Vectors]) -> Vectors:
    """Return the unit mean, (d,), of unit vectors; of some that cancel each other, the first."""
    total = np.sum(vectors, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length > 1e-6 else vectors[0], np.float32)


def apart(one: Vectors, other: Vectors) -> float:
    """Return 1 - cosine of two unit vectors, (d,)."""
    return 1.0 - float(one @ other)


def gaps(reel: Reel, samples: Sequence[Sample]) -> Iterator[Gap]:
    """Yield what is worth decoding."""
    for number, one in enumerate(samples):
        other = samples[number + 1] if number + 1 < len(samples) else None
        first, last = _rows(reel, one.time, None if other is None else other.time)
        end = reel.end if other is None else other.time
        suspects = _spikes(reel, first, last, one.time, end)
        seconds = (end - one.time) * reel.unit
        moved = 0.0 if other is None else apart(one.vector, other.vector)
        calm = sum(reel.sizes[first + 1 : last]) < CALM * reel.sizes[first]
        told = bool(suspects) and (other is None or moved > STILL)
        doubt = other is not None and (moved > DOUBT or (moved > STILL and calm))
        sparse = seconds > SPARSE
        if not (told or doubt or sparse):
            continue
        largest = max(suspects, key=lambda row: reel.sizes[row], default=None)
        believed = None
        if told and largest is not None:
            believed = reel.times[largest]
        elif moved > MOVED and other is not None:
            believed = other.time
        windows = [_window(reel, first, row) for row in suspects]
        if doubt and not suspects:
            windows.append(_window(reel, first, last))
        urgency = -1 if seconds > TOO_SPARSE else 0 if suspects else 1 if doubt else 2
        yield Gap(number, urgency, (first, last), tuple(windows), sparse, believed)


def chosen(found: Sequence[Gap], reel: Reel) -> list[Gap]:
    """Return what there is time to decode, the most urgent first taken, in the order of the video."""
    left = PATIENCE + SHARE * reel.seconds(reel.end)
    taken = []
    for gap in sorted(found, key=lambda gap: (gap.urgency, gap.number)):
        spent = (reel.times[gap.rows[1]] - reel.times[gap.rows[0]]) * reel.unit
        if gap.urgency < 0 or spent <= left:
            left -= spent if gap.urgency >= 0 else 0
            taken.append(gap)
    return sorted(taken, key=lambda gap: gap.number)


def runs(found: Iterable[Gap], samples: Sequence[Sample]) -> list[Run]:
    """Return the runs of packets that these gaps are."""
    marks = {gap: tuple(sample.time for sample in samples[gap.number : gap.number + 2]) for gap in found}
    return joined(Run(gap.rows, marks[gap], gap.windows, gap.every) for gap in marks)


def joined(found: Iterable[Run]) -> list[Run]:
    """Join runs that overlap, so that no packet is decoded twice; they come by their rows."""
    done: list[Run] = []
    for run in sorted(found, key=lambda run: run.rows):
        if done and run.rows[0] <= done[-1].rows[1]:
            last = done.pop()
            rows = last.rows[0], max(last.rows[1], run.rows[1])
            run = Run(rows, last.marks + run.marks, last.windows + run.windows, last.every or run.every)
        done.append(run)
    return done


def closer(reel: Reel, step: Step) -> Run:
    """Return the run in which every frame between the two of a step is decoded."""
    return Run(_rows(reel, step.before, step.time), (), ((step.before, step.time),), False)


def best(steps: Sequence[Step], vague: Step) -> Step:
    """Return the greatest of the steps within a vague one, else itself."""
    within = [step for step in steps if vague.before <= step.before and step.time <= vague.time]
    return max(within, key=lambda step: step.moved, default=vague)


def notable(stretch: Stretch) -> list[Jump]:
    """Return the jumps of a stretch that may be cuts: those unlike what is usual, or the greatest."""
    unusual = [jump for jump in stretch.jumps if _is_prominent(jump, stretch.usual)]
    return unusual or stretch.jumps[:1]


def _is_prominent(jump: Jump, usual: float) -> bool:
    return jump.difference > PROMINENT * usual + 2 * LEAST


def is_cut(jump: Jump, usual: float, moved: float) -> bool:
    """Say whether two frames that follow each other, `moved` apart as embedded, are of two scenes."""
    return moved > MOVED or (_is_prominent(jump, usual) and moved > STEP)


def scenes(reel: Reel, samples: Sequence[Sample], cuts: Iterable[int]) -> list[Scene]:
    """Return scenes, each with one sample or more, that begin at cuts and where the embedding has drifted.

    What is blank (black, white, grey) is no scene where there are others.
    """
    longest = LONGEST / reel.unit
    starts = sorted(cuts)
    found: list[Scene] = []
    for sample in samples:
        cut = bisect_right(starts, sample.time)
        begun = starts[cut - 1] if cut else reel.first
        scene = found[-1] if found else None
        if scene is None or begun > scene.start:
            found.append(Scene(max(begun, reel.first), 0, [sample]))
        elif _leaves(scene, sample) or sample.time - scene.start > longest:
            found.append(Scene(sample.time, 0, [sample]))
        else:
            scene.samples.append(sample)
    ends = [scene.start for scene in found[1:]] + [max(reel.end, reel.first)]
    for scene, end in zip(found, ends, strict=True):
        scene.end = end
    return [scene for scene in found if not scene.blank] or found[:1]


def spread(cuts: Iterable[tuple[float, int]], reel: Reel) -> list[int]:
    """Return the times of cuts (strength, time); of some nearer to each other than SHORTEST the strongest."""
    kept: list[int] = []
    for _, time in sorted(cuts, key=lambda cut: (-cut[0], cut[1])):
        at = bisect_left(kept, time)
        if all(abs(time - other) * reel.unit >= SHORTEST for other in kept[max(0, at - 1) : at + 1]):
            kept.insert(at, time)
    return kept


def _leaves(scene: Scene, sample: Sample) -> bool:
    if sample.blank != scene.blank:
        return True
    return apart(scene.vector, sample.vector) > MOVED


def _rows(reel: Reel, begin: int, end: int | None) -> tuple[int, int]:
    """Return the rows from the key frame at or before a time to what completes the frames up to another."""
    keys = reel.keys or [0]
    at = bisect_right(keys, begin, key=lambda row: reel.times[row])
    first = keys[max(0, at - 1)]
    last = len(reel.times) - 1
    if end is not None:
        at = bisect_left(keys, end, key=lambda row: reel.times[row])
        row = keys[at] if at < len(keys) else last
        while row < last and reel.times[row + 1] < end:
            row += 1
        last = max(row, first)
    return first, last


def _spikes(reel: Reel, first: int, last: int, begin: int, end: int) -> list[int]:
    """Return the rows of the packets that are far larger than those around them; B frames do not count."""
    rows = _anchors(reel, first, last)[1:]
    rows = [row for row in rows if not reel.is_key(row) and begin < reel.times[row] < end]
    if len(rows) < 3:  # nothing to compare them with
        return rows
    limit = SPIKE * float(np.median([reel.sizes[row] for row in rows]))
    return [row for row in rows if reel.sizes[row] > limit]


def _anchors(reel: Reel, first: int, last: int) -> list[int]:
    """Return the rows of frames that are shown after all those before them in the file."""
    latest, rows = -(2**63), []
    for row in range(first, last + 1):
        if reel.times[row] > latest:
            latest = reel.times[row]
            rows.append(row)
    return rows


def _window(reel: Reel, first: int, row: int) -> tuple[int, int]:
    """Return the times from the frame that is shown as the last one before this row's packet, to its own."""
    time = reel.times[row]
    before = [reel.times[other] for other in _anchors(reel, first, row) if reel.times[other] < time]
    return max(before, default=time), time
