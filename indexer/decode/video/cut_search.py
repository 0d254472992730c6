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

from indexer.decode.video.frame_sampling import SAMPLE_SECONDS, DecodeRange
from indexer.decode.video.packet_index import PacketIndex
from indexer.decode.video.scenes import (
    MAX_SCENE_DISTANCE,
    MIN_OTHER_SCENE_DISTANCE,
    Cut,
    Sample,
    Scene,
    cosine_distance,
    differs,
)

MIN_DOUBTFUL_DISTANCE = (
    0.04  # 1 - cosine of two samples from which on a cut is looked for where no packet tells of one
)
MIN_SPIKE_RATIO, MAX_SPIKES = 4.0, 64  # times as large as the packets around it; so many are looked at
MAX_CALM_SHARE = (
    1.0  # if there is less than a key frame's bytes between samples, nothing has become another picture
)
UNCHANGED_PIXELS_PER_BYTE = 4_000  # pixels a byte of a packet that says that nothing has changed
LONG_INTERVAL_SECONDS = (
    1.25 * SAMPLE_SECONDS
)  # seconds without a key frame after which frames between are wanted,
MAX_INTERVAL_SECONDS = 12.0  # and after which they are decoded whatever it takes
DECODE_BUDGET_FRAMES, DECODE_BUDGET_SHARE = (
    300.0,
    0.04,
)  # frames of HD, and the part of a video, that may be decoded beside samples
HD_PIXELS = 1920 * 1080
MAX_MISSING_SAMPLES = 60  # frames of a scene that are looked for when it is embedded again, at most

PRIORITY_REQUIRED, PRIORITY_LIKELY_CUT, PRIORITY_POSSIBLE_CUT, PRIORITY_LONG_INTERVAL, PRIORITY_NONE = range(
    5
)  # how urgent it is to decode
CutWindow = tuple[int, int]  # times of a frame and of the next that is no B frame: between them may be a cut


class SampleInterval(NamedTuple):
    """What is between two samples: when a scene is believed to begin, and what shows whether it does."""

    expected_cut: int | None
    decode_range: DecodeRange
    priority: int = PRIORITY_NONE


def intervals(index: PacketIndex, samples: Sequence[Sample]) -> list[SampleInterval]:
    """Return what is between one sample and the next, and behind the last one."""
    return [_interval(index, one, other) for one, other in zip_longest(samples, samples[1:])]


def _interval(index: PacketIndex, start_sample: Sample, end_sample: Sample | None) -> SampleInterval:
    first, key, last = index.decode_rows(start_sample.time, None if end_sample is None else end_sample.time)
    end = index.end_time if end_sample is None else end_sample.time
    moved = 0.0 if end_sample is None else cosine_distance(start_sample, end_sample)
    seconds = float((end - start_sample.time) * index.time_base)
    anchors = index.reference_frames(first, key)
    spikes = _packet_spikes(index, anchors, start_sample.time, end)
    keys, calm = _key_frames(index, first, key, start_sample.time)
    marks = frozenset(sample.time for sample in (start_sample, end_sample) if sample is not None)
    run = DecodeRange(
        (first, last), tuple(sorted(spikes)), marks, spaced_samples=seconds > LONG_INTERVAL_SECONDS
    )
    far = seconds > MAX_INTERVAL_SECONDS and (bool(spikes) or not calm)
    another = end_sample is None or differs(start_sample, end_sample)
    if spikes and another:
        if not run.spaced_samples:  # what is behind the last one need not be seen
            run = replace(run, rows=(first, index.last_needed_packet(run.windows[-1][1], first, last)))
        return SampleInterval(
            _window_middle(index, spikes[0]), run, PRIORITY_REQUIRED if far else PRIORITY_LIKELY_CUT
        )
    believed = end if moved > (MAX_SCENE_DISTANCE if calm else MIN_OTHER_SCENE_DISTANCE) else None
    if keys and moved > (MAX_SCENE_DISTANCE if calm else MIN_DOUBTFUL_DISTANCE):
        return SampleInterval(
            believed, replace(run, key_frames_only=True), PRIORITY_REQUIRED
        )  # which is next to nothing
    unsure = another and believed is None if calm else moved > MIN_DOUBTFUL_DISTANCE
    if unsure and end_sample is not None:  # the picture before the second sample tells whether it is a cut
        before = max(
            (index.times[row] for row in anchors if index.times[row] < end), default=start_sample.time
        )
        return SampleInterval(
            believed,
            replace(run, windows=(*run.windows, (before, end))),
            PRIORITY_REQUIRED if far else PRIORITY_POSSIBLE_CUT,
        )
    if seconds > LONG_INTERVAL_SECONDS and (spikes or not calm):
        return SampleInterval(believed, run, PRIORITY_REQUIRED if far else PRIORITY_LONG_INTERVAL)
    return SampleInterval(believed, run)


def _packet_spikes(
    index: PacketIndex, reference_rows: Sequence[int], begin: int, end: int
) -> list[CutWindow]:
    """Return where packets are far larger than those around them, the largest first."""
    rows = [
        (before, row)
        for before, row in pairwise(reference_rows)
        if not index.is_key_frame(row) and begin < index.times[row] < end
    ]
    sizes = [index.sizes[row] for _, row in rows]
    limit = MIN_SPIKE_RATIO * median(sizes) if len(sizes) > 2 else 0  # of so few nothing can be told
    found = sorted(
        (pair for pair in rows if index.sizes[pair[1]] > limit), key=lambda pair: -index.sizes[pair[1]]
    )
    return [(index.times[before], index.times[row]) for before, row in found[:MAX_SPIKES]]


def _key_frames(index: PacketIndex, first: int, key: int, begin: int) -> tuple[list[int], bool]:
    """Return the rows of key frames between two others, and whether little is coded beside them."""
    rows = index.key_rows[bisect_right(index.key_rows, first) : bisect_left(index.key_rows, key)]
    between = [row for row in rows if index.times[row] > begin]
    coded = sum(index.sizes[first + 1 : key]) - sum(index.sizes[row] for row in rows)
    still = (key - first) * index.frame_pixels / UNCHANGED_PIXELS_PER_BYTE
    return between, coded < max(still, MAX_CALM_SHARE * min(index.sizes[first], index.sizes[key]))


def _window_middle(index: PacketIndex, window: CutWindow) -> int:
    """Return the time of the frame in the middle of those of which one is the first after a cut."""
    times = [*index.display_times_between(*window), window[1]]
    return times[len(times) // 2]


def within_budget(candidates: Iterable[SampleInterval], index: PacketIndex) -> list[SampleInterval]:
    """Return the gaps that there is time to decode, the most urgent before others."""
    work = index.frame_pixels / HD_PIXELS  # of a frame
    left = DECODE_BUDGET_FRAMES + DECODE_BUDGET_SHARE * len(index.times) * work
    taken = []
    for gap in sorted(candidates, key=lambda gap: (gap.priority, gap.decode_range.rows)):
        spent = (
            (gap.decode_range.rows[1] - gap.decode_range.rows[0]) * work * (gap.priority != PRIORITY_REQUIRED)
        )
        if gap.priority != PRIORITY_NONE and spent <= left:
            left -= spent
            taken.append(gap)
    return taken


def merge_ranges(ranges: Iterable[DecodeRange]) -> list[DecodeRange]:
    """Return runs by their rows, those that overlap as one, so that no packet is decoded twice."""
    done: list[DecodeRange] = []
    for run in sorted(ranges, key=lambda run: run.rows):
        overlap = bool(done) and run.rows[0] <= done[-1].rows[1]
        done.append(done.pop() + run if overlap else run)
    return done


def refinement_ranges(index: PacketIndex, cuts: Iterable[Cut]) -> list[DecodeRange]:
    """Return the runs in which every frame between the two of a step is decoded, where there are some.

    Of steps from key frame to key frame, which may be far apart, those that there is time for.
    """
    left = DECODE_BUDGET_FRAMES * HD_PIXELS / max(1, index.frame_pixels)
    found = []
    for step in cuts:
        first, _, last = index.decode_rows(step.previous_time, step.time)
        left -= (last - first) * step.key_frames_only
        if index.display_times_between(step.previous_time, step.time) and (
            left >= 0 or not step.key_frames_only
        ):
            window = (step.previous_time, step.time)
            found.append(DecodeRange((first, last), (window,), frozenset(window)))
    return merge_ranges(found)


def missing_sample_ranges(index: PacketIndex, scenes: Iterable[Scene]) -> list[DecodeRange]:
    """Return the runs that show more of the scenes of which too few frames were seen."""
    found = []
    for scene in scenes:
        length = float((scene.end - scene.start) * index.time_base)
        if scene.samples and length <= MAX_INTERVAL_SECONDS * len(scene.samples):
            continue
        for at in range(min(MAX_MISSING_SAMPLES, int(length / SAMPLE_SECONDS) + 1)):
            time = scene.start + round(at * SAMPLE_SECONDS / index.time_base)
            for shown in index.display_times_between(time - 1, max(scene.end, scene.start + 1))[:1]:
                first, _, last = index.decode_rows(shown, shown)
                found.append(DecodeRange((first, last), ((shown, shown),), wanted_times=frozenset((shown,))))
    return merge_ranges(found)
