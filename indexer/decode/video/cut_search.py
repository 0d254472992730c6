"""What lies between the samples of a video: where a cut may be, and what is worth decoding to know.

A cut costs bits: the first picture of a scene is coded as a key frame, or in a packet many times as large
as its neighbours. So packets tell where a cut may be, and samples on both sides whether the embedding moves.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise, zip_longest
from statistics import median
from typing import NamedTuple

from indexer.decode.video.frame_sampling import SPACING, Run
from indexer.decode.video.packet_index import Reel
from indexer.decode.video.scenes import MOVED, STILL, Sample, Scene, Step, apart, is_another

DOUBT = 0.04  # 1 - cosine of two samples from which on a cut is looked for where no packet tells of one
SPIKE, SPIKES = 4.0, 64  # times as large as the packets around it; so many are looked at
CALM = 1.0  # if there is less than a key frame's bytes between samples, nothing has become another picture
STILL_PICTURE = 4_000  # pixels a byte of a packet that says that nothing has changed
SPARSE = 1.25 * SPACING  # seconds without a key frame after which frames between are wanted,
TOO_SPARSE = 12.0  # and after which they are decoded whatever it takes
PATIENCE, SHARE = 300.0, 0.04  # frames of HD, and the part of a video, that may be decoded beside samples
HD = 1920 * 1080
AGAIN = 60  # frames of a scene that are looked for when it is embedded again, at most

ALWAYS, SURE, DOUBTED, WISHED, NEVER = range(5)  # how urgent it is to decode
Window = tuple[int, int]  # times of a frame and of the next that is no B frame: between them may be a cut


class Gap(NamedTuple):
    """What is between two samples: when a scene is believed to begin, and what shows whether it does."""

    believed: int | None
    run: Run
    urgency: int = NEVER


def gaps(reel: Reel, samples: Sequence[Sample]) -> list[Gap]:
    """Return what is between one sample and the next, and behind the last one."""
    return [_gap(reel, one, other) for one, other in zip_longest(samples, samples[1:])]


def _gap(reel: Reel, one: Sample, other: Sample | None) -> Gap:
    first, key, last = reel.rows(one.time, None if other is None else other.time)
    end = reel.end if other is None else other.time
    moved = 0.0 if other is None else apart(one, other)
    seconds = float((end - one.time) * reel.unit)
    anchors = reel.anchors(first, key)
    spikes = _spikes(reel, anchors, one.time, end)
    keys, calm = _keys(reel, first, key, one.time)
    marks = frozenset(sample.time for sample in (one, other) if sample is not None)
    run = Run((first, last), tuple(sorted(spikes)), marks, every=seconds > SPARSE)
    far = seconds > TOO_SPARSE and (bool(spikes) or not calm)
    another = other is None or is_another(one, other)
    if spikes and another:
        if not run.every:  # what is behind the last one need not be seen
            run = replace(run, rows=(first, reel.complete(run.windows[-1][1], first, last)))
        return Gap(_middle(reel, spikes[0]), run, ALWAYS if far else SURE)
    believed = end if moved > (STILL if calm else MOVED) else None
    if keys and moved > (STILL if calm else DOUBT):
        return Gap(believed, replace(run, keys=True), ALWAYS)  # which is next to nothing
    unsure = another and believed is None if calm else moved > DOUBT
    if unsure and other is not None:  # the picture before the second sample tells whether it is a cut
        before = max((reel.times[row] for row in anchors if reel.times[row] < end), default=one.time)
        return Gap(believed, replace(run, windows=(*run.windows, (before, end))), ALWAYS if far else DOUBTED)
    if seconds > SPARSE and (spikes or not calm):
        return Gap(believed, run, ALWAYS if far else WISHED)
    return Gap(believed, run)


def _spikes(reel: Reel, anchors: Sequence[int], begin: int, end: int) -> list[Window]:
    """Return where packets are far larger than those around them, the largest first."""
    rows = [
        (before, row)
        for before, row in pairwise(anchors)
        if not reel.is_key(row) and begin < reel.times[row] < end
    ]
    sizes = [reel.sizes[row] for _, row in rows]
    limit = SPIKE * median(sizes) if len(sizes) > 2 else 0  # of so few nothing can be told
    found = sorted(
        (pair for pair in rows if reel.sizes[pair[1]] > limit), key=lambda pair: -reel.sizes[pair[1]]
    )
    return [(reel.times[before], reel.times[row]) for before, row in found[:SPIKES]]


def _keys(reel: Reel, first: int, key: int, begin: int) -> tuple[list[int], bool]:
    """Return the rows of key frames between two others, and whether little is coded beside them."""
    rows = reel.keys[bisect_right(reel.keys, first) : bisect_left(reel.keys, key)]
    between = [row for row in rows if reel.times[row] > begin]
    coded = sum(reel.sizes[first + 1 : key]) - sum(reel.sizes[row] for row in rows)
    still = (key - first) * reel.pixels / STILL_PICTURE
    return between, coded < max(still, CALM * min(reel.sizes[first], reel.sizes[key]))


def _middle(reel: Reel, window: Window) -> int:
    """Return the time of the frame in the middle of those of which one is the first after a cut."""
    times = [*reel.between(*window), window[1]]
    return times[len(times) // 2]


def chosen(found: Iterable[Gap], reel: Reel) -> list[Gap]:
    """Return the gaps that there is time to decode, the most urgent before others."""
    work = reel.pixels / HD  # of a frame
    left = PATIENCE + SHARE * len(reel.times) * work
    taken = []
    for gap in sorted(found, key=lambda gap: (gap.urgency, gap.run.rows)):
        spent = (gap.run.rows[1] - gap.run.rows[0]) * work * (gap.urgency != ALWAYS)
        if gap.urgency != NEVER and spent <= left:
            left -= spent
            taken.append(gap)
    return taken


def joined(runs: Iterable[Run]) -> list[Run]:
    """Return runs by their rows, those that overlap as one, so that no packet is decoded twice."""
    done: list[Run] = []
    for run in sorted(runs, key=lambda run: run.rows):
        overlap = bool(done) and run.rows[0] <= done[-1].rows[1]
        done.append(done.pop() + run if overlap else run)
    return done


def closer(reel: Reel, steps: Iterable[Step]) -> list[Run]:
    """Return the runs in which every frame between the two of a step is decoded, where there are some.

    Of steps from key frame to key frame, which may be far apart, those that there is time for.
    """
    left = PATIENCE * HD / max(1, reel.pixels)
    found = []
    for step in steps:
        first, _, last = reel.rows(step.before, step.time)
        left -= (last - first) * step.keys
        if reel.between(step.before, step.time) and (left >= 0 or not step.keys):
            window = (step.before, step.time)
            found.append(Run((first, last), (window,), frozenset(window)))
    return joined(found)


def lacking(reel: Reel, scenes: Iterable[Scene]) -> list[Run]:
    """Return the runs that show more of the scenes of which too few frames were seen."""
    found = []
    for scene in scenes:
        length = float((scene.end - scene.start) * reel.unit)
        if scene.samples and length <= TOO_SPARSE * len(scene.samples):
            continue
        for at in range(min(AGAIN, int(length / SPACING) + 1)):
            time = scene.start + round(at * SPACING / reel.unit)
            for shown in reel.between(time - 1, max(scene.end, scene.start + 1))[:1]:
                first, _, last = reel.rows(shown, shown)
                found.append(Run((first, last), ((shown, shown),), wanted=frozenset((shown,))))
    return joined(found)
