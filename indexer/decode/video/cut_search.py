"""Find possible cuts between sampled frames, and choose the ranges that are worth decoding.

Encoders spend bits on a cut: the first frame of a scene is a key frame, or its packet is several times
larger than its neighbors. Packet sizes therefore propose cuts, and the embeddings of the samples on both
sides tell whether the scene changes at all.
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

MIN_DOUBTFUL_DISTANCE = 0.04  # 1 - cosine of two samples above which a cut is possible without a spike
MIN_SPIKE_RATIO = 4.0  # times the median packet size of the interval
MAX_SPIKES = 64  # per interval, the largest
MAX_CALM_SHARE = 1.0  # an interval with fewer bytes than this share of a key frame is calm
UNCHANGED_PIXELS_PER_BYTE = 4_000  # of a packet that encodes "nothing changed"
LONG_INTERVAL_SECONDS = (
    1.25 * SAMPLE_SECONDS
)  # above this, frames between the samples are sampled if possible
MAX_INTERVAL_SECONDS = 12.0  # above this, they are decoded regardless of the budget
DECODE_BUDGET_FRAMES = 300.0  # HD frames per video that may be decoded in addition to samples,
DECODE_BUDGET_SHARE = 0.04  # and this share of all frames of the video
HD_PIXELS = 1920 * 1080
MAX_MISSING_SAMPLES = 60  # frames per scene that are searched when a known scene is embedded again

# Priorities of decoding an interval, most urgent first; required intervals do not count against the budget.
PRIORITY_REQUIRED, PRIORITY_LIKELY_CUT, PRIORITY_POSSIBLE_CUT, PRIORITY_LONG_INTERVAL, PRIORITY_NONE = range(
    5
)

CutWindow = tuple[int, int]  # the times of two consecutive reference frames that may enclose a cut


class SampleInterval(NamedTuple):
    """The interval between two samples, or after the last one."""

    expected_cut: int | None  # where a scene begins, as far as known without decoding
    decode_range: DecodeRange  # the packets that confirm or refute it
    priority: int = PRIORITY_NONE


def intervals(index: PacketIndex, samples: Sequence[Sample]) -> list[SampleInterval]:
    """Return the interval after each sample; samples must be ascending."""
    return [_interval(index, start, end) for start, end in zip_longest(samples, samples[1:])]


def _interval(index: PacketIndex, start_sample: Sample, end_sample: Sample | None) -> SampleInterval:
    first, next_key, last = index.decode_rows(start_sample.time, end_sample.time if end_sample else None)
    end = index.end_time if end_sample is None else end_sample.time
    seconds = float((end - start_sample.time) * index.time_base)
    distance = 0.0 if end_sample is None else cosine_distance(start_sample, end_sample)
    may_differ = end_sample is None or differs(start_sample, end_sample)
    reference_rows = index.reference_frames(first, next_key)
    spikes = _packet_spikes(index, reference_rows, start_sample.time, end)
    key_rows, is_calm = _key_frames(index, first, next_key, start_sample.time)
    is_long = seconds > LONG_INTERVAL_SECONDS
    decode_range = DecodeRange(
        (first, last),
        tuple(sorted(spikes)),
        frozenset(sample.time for sample in (start_sample, end_sample) if sample is not None),
        spaced_samples=is_long,
    )
    has_content = bool(spikes) or not is_calm
    is_required = has_content and seconds > MAX_INTERVAL_SECONDS

    if spikes and may_differ:
        if not is_long:  # the frames after the last spike are not needed
            last = index.last_needed_packet(decode_range.windows[-1][1], first, last)
            decode_range = replace(decode_range, rows=(first, last))
        priority = PRIORITY_REQUIRED if is_required else PRIORITY_LIKELY_CUT
        return SampleInterval(_window_middle(index, spikes[0]), decode_range, priority)

    expected_cut = end if distance > (MAX_SCENE_DISTANCE if is_calm else MIN_OTHER_SCENE_DISTANCE) else None
    if key_rows and distance > (MAX_SCENE_DISTANCE if is_calm else MIN_DOUBTFUL_DISTANCE):
        # A few key frames cost next to nothing, so that they are always decoded.
        return SampleInterval(expected_cut, replace(decode_range, key_frames_only=True), PRIORITY_REQUIRED)

    is_doubtful = may_differ and expected_cut is None if is_calm else distance > MIN_DOUBTFUL_DISTANCE
    if is_doubtful and end_sample is not None:
        # Whether the second sample begins a scene shows in the frame before it.
        before = max(
            (index.times[row] for row in reference_rows if index.times[row] < end), default=start_sample.time
        )
        decode_range = replace(decode_range, windows=(*decode_range.windows, (before, end)))
        priority = PRIORITY_REQUIRED if is_required else PRIORITY_POSSIBLE_CUT
        return SampleInterval(expected_cut, decode_range, priority)

    if is_long and has_content:
        priority = PRIORITY_REQUIRED if is_required else PRIORITY_LONG_INTERVAL
        return SampleInterval(expected_cut, decode_range, priority)
    return SampleInterval(expected_cut, decode_range)


def _packet_spikes(
    index: PacketIndex, reference_rows: Sequence[int], begin: int, end: int
) -> list[CutWindow]:
    """Return windows that end at packets far larger than their neighbors, largest packet first."""
    pairs = [
        (previous, row)
        for previous, row in pairwise(reference_rows)
        if not index.is_key_frame(row) and begin < index.times[row] < end
    ]
    sizes = [index.sizes[row] for _, row in pairs]
    min_size = MIN_SPIKE_RATIO * median(sizes) if len(sizes) > 2 else 0  # one or two have no usual size
    spikes = sorted(
        (pair for pair in pairs if index.sizes[pair[1]] > min_size), key=lambda pair: -index.sizes[pair[1]]
    )
    return [(index.times[previous], index.times[row]) for previous, row in spikes[:MAX_SPIKES]]


def _key_frames(index: PacketIndex, first: int, next_key: int, begin: int) -> tuple[list[int], bool]:
    """Return the rows of key frames between two others, and whether the other packets are calm."""
    rows = index.key_rows[bisect_right(index.key_rows, first) : bisect_left(index.key_rows, next_key)]
    after_begin = [row for row in rows if index.times[row] > begin]
    other_bytes = sum(index.sizes[first + 1 : next_key]) - sum(index.sizes[row] for row in rows)
    unchanged_bytes = (next_key - first) * index.frame_pixels / UNCHANGED_PIXELS_PER_BYTE
    key_bytes = min(index.sizes[first], index.sizes[next_key])
    return after_begin, other_bytes < max(unchanged_bytes, MAX_CALM_SHARE * key_bytes)


def _window_middle(index: PacketIndex, window: CutWindow) -> int:
    """Return the middle one of the frame times in a window, one of which is the first after the cut."""
    times = [*index.display_times_between(*window), window[1]]
    return times[len(times) // 2]


def within_budget(candidates: Iterable[SampleInterval], index: PacketIndex) -> list[SampleInterval]:
    """Return the intervals to decode: the most urgent ones within the budget of decoding."""
    frame_cost = index.frame_pixels / HD_PIXELS
    budget = DECODE_BUDGET_FRAMES + DECODE_BUDGET_SHARE * len(index.times) * frame_cost
    chosen = []
    for interval in sorted(candidates, key=lambda interval: (interval.priority, interval.decode_range.rows)):
        first, last = interval.decode_range.rows
        cost = 0.0 if interval.priority == PRIORITY_REQUIRED else (last - first) * frame_cost
        if interval.priority != PRIORITY_NONE and cost <= budget:
            budget -= cost
            chosen.append(interval)
    return chosen


def merge_ranges(ranges: Iterable[DecodeRange]) -> list[DecodeRange]:
    """Return ranges in ascending order, with overlapping ones merged so that no packet is decoded twice."""
    merged: list[DecodeRange] = []
    for decode_range in sorted(ranges, key=lambda decode_range: decode_range.rows):
        overlaps = bool(merged) and decode_range.rows[0] <= merged[-1].rows[1]
        merged.append(merged.pop() + decode_range if overlaps else decode_range)
    return merged


def refinement_ranges(index: PacketIndex, cuts: Iterable[Cut]) -> list[DecodeRange]:
    """Return ranges that decode every frame between the two of a cut, if there are other frames.

    Cuts between key frames, which may be far apart, are refined within a budget.
    """
    budget = DECODE_BUDGET_FRAMES * HD_PIXELS / max(1, index.frame_pixels)
    ranges = []
    for cut in cuts:
        window = (cut.previous_time, cut.time)
        first, _, last = index.decode_rows(*window)
        budget -= (last - first) * cut.key_frames_only
        if index.display_times_between(*window) and (budget >= 0 or not cut.key_frames_only):
            ranges.append(DecodeRange((first, last), (window,), frozenset(window)))
    return merge_ranges(ranges)


def missing_sample_ranges(index: PacketIndex, scenes: Iterable[Scene]) -> list[DecodeRange]:
    """Return ranges that decode more frames of the scenes that have too few samples."""
    ranges = []
    for scene in scenes:
        seconds = float((scene.end - scene.start) * index.time_base)
        if scene.samples and seconds <= MAX_INTERVAL_SECONDS * len(scene.samples):
            continue
        for number in range(min(MAX_MISSING_SAMPLES, int(seconds / SAMPLE_SECONDS) + 1)):
            earliest = scene.start + round(number * SAMPLE_SECONDS / index.time_base)
            for time in index.display_times_between(earliest - 1, max(scene.end, scene.start + 1))[:1]:
                first, _, last = index.decode_rows(time, time)
                ranges.append(DecodeRange((first, last), ((time, time),), wanted_times=frozenset((time,))))
    return merge_ranges(ranges)
