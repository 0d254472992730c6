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

SAME = 0.005  # 1 - cosine of two samples up to which nothing has happened
STILL = 0.012  # up to which it may be the same scene
MOVED = 0.15  # from which on it is another scene, whatever lies between
DOUBT = 0.04  # from which on one looks for a cut though no packet tells of it
STEP = 0.003  # of two frames that follow each other: a cut, if they are unlike at a glance, too
PROMINENT = 4.0  # times as unlike as is usual there
SPIKE = 4.0  # times as large as the packets around it
CALM = 1.0  # of a key frame's bytes are all between two samples: nothing has become another picture
SPARSE, TOO_SPARSE = (
    1.25 * SPACING,
    12.0,
)  # seconds without a key frame that are decoded: if there is time, always
PATIENCE, SHARE = 600.0, 0.05  # frames of HD, and the part of a video, that may be decoded beside samples
HD = 1920 * 1080
ALWAYS, NEVER = 0, 9  # how urgent it is to decode
MOST_AGAIN = 60  # frames of a scene that are looked for when it is embedded again
SHORTEST, LONGEST = 0.3, 120.0  # seconds of a scene


@dataclass(slots=True)
class Sample:
    """A frame that was embedded: its unit vector (d,), a WebP of it, how sharp it is, whether it is blank.

    The first frame after a cut is an `edge`: often it is not yet as clear as those that follow.
    """

    time: int
    vector: Vectors
    thumbnail: bytes | None
    sharpness: float
    blank: bool
    edge: bool = False


class Gap(NamedTuple):
    """Packets between two samples that are worth decoding: their rows, the suspects, how urgent it is."""

    number: int  # of the first sample
    urgency: int  # the less, the sooner
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

    def within(self, samples: Iterable[Sample]) -> list[Sample]:
        """Return those samples that are shown in it."""
        return [each for each in samples if self.start <= each.time < max(self.end, self.start + 1)]

    @property
    def shown(self) -> list[Sample]:
        """Return what the scene is known by: no blank frames and no edges where there are others."""
        seen = [sample for sample in self.samples if not sample.blank] or self.samples
        return [sample for sample in seen if not sample.edge] or seen

    @property
    def vector(self) -> Vectors:
        """Return the unit mean of its samples' vectors, (d,)."""
        return mean([sample.vector for sample in self.shown])

    @property
    def blank(self) -> bool:
        """Say whether nothing is to be seen."""
        return all(sample.blank for sample in self.samples)

    @property
    def clearest(self) -> Sample:
        """Return the sharpest sample."""
        return max(self.shown, key=lambda sample: sample.sharpness)


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
        first, key, last = _rows(reel, one.time, None if other is None else other.time)
        end = reel.end if other is None else other.time
        suspects = _spikes(reel, first, last, one.time, end)
        seconds = (end - one.time) * reel.unit
        moved = 0.0 if other is None else apart(one.vector, other.vector)
        calm = sum(reel.sizes[first + 1 : key]) < CALM * min(reel.sizes[first], reel.sizes[key])
        told = bool(suspects) and (other is None or moved > SAME)
        doubt = moved > DOUBT and not calm
        sparse = seconds > SPARSE and (bool(suspects) or not calm)
        believed = None
        if told:
            believed = reel.times[max(suspects, key=lambda row: reel.sizes[row])]
        elif other is not None and (moved > MOVED or (moved > STILL and calm)):
            believed = other.time
        if not (told or doubt or sparse or believed):
            continue
        windows = [_window(reel, first, row) for row in suspects]
        if doubt and not suspects:
            windows.append(_window(reel, first, key))
        urgency = 2 if doubt else 3
        if not (told or doubt or sparse):
            urgency = NEVER
        elif sparse and seconds > TOO_SPARSE:
            urgency = ALWAYS
        elif suspects:
            urgency = 1
        yield Gap(number, urgency, (first, last), tuple(windows), sparse, believed)


def chosen(found: Sequence[Gap], reel: Reel) -> list[Gap]:
    """Return what there is time to decode, the most urgent before others, in the order of the video."""
    work = reel.pixels / HD  # of a frame
    left = PATIENCE + SHARE * len(reel.times) * work
    taken = []
    for gap in sorted(found, key=lambda gap: (gap.urgency, gap.number)):
        spent = (gap.rows[1] - gap.rows[0]) * work
        if gap.urgency == ALWAYS or (gap.urgency != NEVER and spent <= left):
            left -= 0 if gap.urgency == ALWAYS else spent
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
            run = Run(
                rows,
                last.marks + run.marks,
                last.windows + run.windows,
                last.every or run.every,
                last.wanted + run.wanted,
            )
        done.append(run)
    return done


def closer(reel: Reel, step: Step) -> Run:
    """Return the run in which every frame between the two of a step is decoded."""
    first, _, last = _rows(reel, step.before, step.time)
    between = (step.before, step.time)
    return Run((first, last), between, (between,), False)


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


def lacking(reel: Reel, known: Sequence[Scene]) -> list[Run]:
    """Return the runs that show more of the scenes of which too few frames were seen."""
    shown = sorted(reel.times)
    wanted = []
    for scene in known:
        length = float((scene.end - scene.start) * reel.unit)
        if scene.samples and length <= TOO_SPARSE * len(scene.samples):
            continue
        for at in range(min(MOST_AGAIN, int(length / SPACING) + 1)):
            time = scene.start + round(at * SPACING / reel.unit)
            row = bisect_left(shown, time)
            if row < len(shown) and shown[row] < max(scene.end, scene.start + 1):
                wanted.append(shown[row])
    found = []
    for time in wanted:
        first, _, last = _rows(reel, time, time)
        found.append(Run((first, last), (), ((time, time),), False, (time,)))
    return joined(found)


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
    """Say whether a sample is of another scene though there is no cut between."""
    if sample.blank != scene.blank:
        return True
    return not all(each.edge for each in scene.samples) and apart(scene.vector, sample.vector) > MOVED


def _rows(reel: Reel, begin: int, end: int | None) -> tuple[int, int, int]:
    """Return the rows of the key frame at or before a time, of that at or after another, and of the last
    packet of a frame that is shown before the second.
    """
    keys = reel.keys or [0]
    at = bisect_right(keys, begin, key=lambda row: reel.times[row])
    first = keys[max(0, at - 1)]
    end_of_all = len(reel.times) - 1
    at = len(keys) if end is None else bisect_left(keys, end, key=lambda row: reel.times[row])
    key = last = max(first, keys[at]) if at < len(keys) else end_of_all
    while end is not None and last < end_of_all and reel.times[last + 1] < end:
        last += 1
    return first, key, last


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
