"""Frames of a video, with their times: some spread over it all, some between two of them.

Decoding is what a video costs, so that at first only key frames are decoded, each on its own, about two
seconds apart. What lies between two of them is decoded where `gaps` asks for it.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from indexer.decode.text.subtitle_cues import MAX_CUES, is_text_stream, packet_cues
from indexer.decode.video.frame_converter import ConvertedFrame, FrameConverter, FrameSignature
from indexer.decode.video.packet_index import PacketIndex
from retrieval.media.av.container import MAX_FRAME_PIXELS, StartTimeDetector, decode_packet, demux_packets
from retrieval.system import cores

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

SAMPLE_SECONDS = 2.0  # seconds from one sample to the next
MAX_DENSE_SAMPLES, DENSE_SAMPLE_SECONDS = 30, 1.0  # so many samples at first are nearer, for clips
EARLY_KEY_FRAME_SHARE, MIN_SAMPLE_SECONDS = (
    0.9,
    0.3,
)  # of the usual time between key frames; seconds from the sample before, at least
SAMPLES_PER_DOUBLING = (
    10_000  # samples after which they are twice as far apart, again and again: five and a half hours
)
MAX_PACKETS = 4_000_000  # of a video, 18 hours of 60 a second; what follows is left out
MAX_LEADING_PACKETS = 500  # packets decoded in full at the beginning until there is a first picture
MAX_CHANGES = 4  # of a stretch, the greatest
MIN_PROMINENCE = 4.0  # times as unlike as is usual there
MIN_DIFFERENCE = 0.25  # of 255: a smaller difference is rounding
SKIP_FRAME_BY_CODEC: dict[
    str, Literal["NONREF", "BIDIR", "DEFAULT"]
] = {  # what is decoded where others are spared B frames:
    **dict.fromkeys(("hevc", "vvc"), "NONREF"),  # all but key frames may be written as such
    **dict.fromkeys(("libdav1d", "av1"), "DEFAULT"),  # their decoders do not change what they spare
}


class KeyFrameSampler:
    """Say which key frames are looked at: those far enough from the one before, and those that come early.

    A key frame that comes before its time is a coder's answer to a cut.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._sample_count = 0
        self._last_sample: int | None = None
        self._last_key: int | None = None
        self._max_key_interval = 0  # from a key frame to the next, at most

    def wants_sample(self, time: int) -> bool:
        """Say whether a key frame is a sample; times that go back are none."""
        apart = time - (time if self._last_key is None else self._last_key)
        early = 0 < apart < EARLY_KEY_FRAME_SHARE * self._max_key_interval
        self._last_key, self._max_key_interval = time, max(self._max_key_interval, apart)
        spacing = (
            DENSE_SAMPLE_SECONDS
            if self._sample_count < MAX_DENSE_SAMPLES
            else SAMPLE_SECONDS * 2.0 ** (self._sample_count // SAMPLES_PER_DOUBLING)
        )
        # A tenth less: key frames that are as far apart as samples come a little early, too.
        least = MIN_SAMPLE_SECONDS if early and self._sample_count < SAMPLES_PER_DOUBLING else 0.9 * spacing
        if self._last_sample is not None and (time - self._last_sample) * self._time_base < least:
            return False
        self._last_sample = time
        self._sample_count += 1
        return True


def sample_key_frames(
    container: "InputContainer",
    stream: "VideoStream",
    index: PacketIndex,
    converter: FrameConverter,
    *,
    slice_threads: bool = False,
) -> Iterator[tuple[ConvertedFrame, tuple[int, int]]]:
    """Yield key frames about SPACING apart, each with width and height; note all packets in `reel`.

    Decoded `one_by_one`, a frame that is damaged costs none of those before it.
    """
    configure_decoder(stream, "all", "SLICE" if slice_threads else "AUTO")
    beginning, sampler, wanted = StartTimeDetector(), KeyFrameSampler(index.time_base), set[int]()
    begun, number = False, 0
    texts = [each for each in container.streams.subtitles if is_text_stream(each)]

    def taken(frames: "list[VideoFrame]") -> Iterator[tuple[ConvertedFrame, tuple[int, int]]]:
        nonlocal begun
        for frame in frames:
            if frame.pts in wanted or not begun:
                begun = True
                wanted.discard(frame.pts)
                yield converter.convert(frame), converter.display_size(frame)

    for packet in demux_packets(container, stream, *texts):
        if packet.stream.index != stream.index:
            index.cues += packet_cues(packet) if len(index.cues) < MAX_CUES else []
            continue
        if (number := number + 1) > MAX_PACKETS:
            break
        shown = beginning.add_packet(packet)
        time = add_packet(index, packet)
        if sample := shown and packet.is_keyframe and sampler.wants_sample(time):
            wanted.add(time)
        if sample or (not begun and number < MAX_LEADING_PACKETS):
            yield from taken(decode_packet(stream, packet))
    yield from taken(decode_packet(stream, None))
    index.frame_pixels = stream.codec_context.width * stream.codec_context.height
    index.start_time = min(index.times, default=0) if beginning.start_time is None else beginning.start_time


def configure_decoder(
    stream: "VideoStream", skip_loop_filter: str, thread_type: Literal["AUTO", "SLICE"] = "AUTO"
) -> None:
    """Decode on all cores and within the limit of pixels; blocks of `unfiltered` frames keep their edges."""
    stream.thread_type = thread_type
    stream.codec_context.thread_count = cores()
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS), "skip_loop_filter": skip_loop_filter}


def add_packet(index: PacketIndex, packet: "Packet[Any]") -> int:
    """Write a packet into the reel; returns its time."""
    time = packet.pts or 0
    if packet.is_keyframe:
        index.key_rows.append(len(index.times))
    index.times.append(time)
    index.sizes.append(packet.size)
    index.end_time = max(index.end_time, time + (packet.duration or 0))
    return time


@dataclass(frozen=True, slots=True)
class DecodeRange:
    """Rows of packets that are decoded one after the other.

    Between two times of a window every frame is decoded, elsewhere all but B frames, or with `keys` nothing
    but key frames. What is seen is told apart at `marks`. Frames are returned at the times that are `wanted`,
    and with `every` SPACING apart.
    """

    rows: tuple[int, int]  # the last included
    windows: tuple[tuple[int, int], ...] = ()  # by their times; they do not overlap
    boundaries: frozenset[int] = frozenset()
    wanted_times: frozenset[int] = frozenset()
    spaced_samples: bool = False
    key_frames_only: bool = False

    def is_in_window(self, time: int) -> bool:
        """Say whether a time is within a window."""
        at = bisect_right(self.windows, time, key=lambda window: window[0])
        return at > 0 and time <= self.windows[at - 1][1]

    def __add__(self, other: "DecodeRange") -> "DecodeRange":
        """Return the run of both, of which the other begins before this one ends."""
        return DecodeRange(
            (min(self.rows[0], other.rows[0]), max(self.rows[1], other.rows[1])),
            tuple(sorted({*self.windows, *other.windows})),
            self.boundaries | other.boundaries,
            self.wanted_times | other.wanted_times,
            self.spaced_samples or other.spaced_samples,
            self.key_frames_only and other.key_frames_only,
        )


@dataclass(slots=True)
class FrameChange:
    """Two frames that follow each other, and by how much they differ at a glance."""

    difference: float
    before: ConvertedFrame
    after: ConvertedFrame

    def is_prominent(self, median_difference: float) -> bool:
        """Say whether it is far greater than what is usual there."""
        return self.difference > MIN_PROMINENCE * median_difference + 2 * MIN_DIFFERENCE


@dataclass(slots=True)
class RangeResult:
    """What was seen up to a sample or up to `picture`: the greatest jumps, and how much is usual."""

    changes: list[FrameChange] = field(default_factory=list)
    median_difference: float = 0.0
    frame: ConvertedFrame | None = None
    key_frames_only: bool = False  # they are key frames, between which there are others


def decode_ranges(
    container: "InputContainer",
    stream: "VideoStream",
    index: PacketIndex,
    converter: FrameConverter,
    ranges: Sequence[DecodeRange],
) -> Iterator[RangeResult]:
    """Decode runs of packets, which are ascending, and yield what is seen in every stretch of them."""
    configure_decoder(stream, "noref")
    context, left = stream.codec_context, list(reversed(ranges))
    watcher: ChangeDetector | None = None
    passed: Literal["NONREF", "BIDIR", "DEFAULT"] = SKIP_FRAME_BY_CODEC.get(context.name, "BIDIR")
    for row, packet in enumerate(islice(demux_packets(container, stream), MAX_PACKETS)):
        if not left:
            return
        run = left[-1]
        if row < run.rows[0]:
            continue
        if watcher is None:
            watcher = ChangeDetector(run, index, converter)
        time = packet.pts or 0
        within = run.is_in_window(time)
        context.skip_frame = "NONKEY" if run.key_frames_only else "DEFAULT" if within else passed
        for frame in decode_packet(stream, packet):
            yield from watcher.add_frame(frame)
        if row >= run.rows[1]:
            for frame in decode_packet(stream, None):
                yield from watcher.add_frame(frame)
            yield watcher.finish_section()
            context.flush_buffers()
            watcher = None
            left.pop()


class ChangeDetector:
    """Compare each frame of a run with the one before, and keep the greatest jumps of each stretch."""

    def __init__(self, decode_range: DecodeRange, index: PacketIndex, converter: FrameConverter) -> None:
        self._range, self._converter = decode_range, converter
        self._spacing = round(SAMPLE_SECONDS / index.time_base)
        self._last_boundary = min(decode_range.boundaries, default=0)
        self._previous: tuple[VideoFrame, FrameSignature] | None = None
        self._changes: list[FrameChange] = []
        self._differences: list[float] = []

    def add_frame(self, frame: "VideoFrame") -> Iterator[RangeResult]:
        """Take note of a frame; yields the stretch that it ends."""
        glance = self._converter.signature(frame)
        if self._previous is not None:
            difference = float(np.abs(glance - self._previous[1]).mean())
            self._differences.append(difference)
            self._keep_change(difference, self._previous[0], frame)
        self._previous = frame, glance
        time = frame.pts or 0
        if time in self._range.wanted_times or (
            self._range.spaced_samples and time - self._last_boundary >= self._spacing
        ):
            self._last_boundary = time
            yield self.finish_section(self._converter.convert(frame))
        elif time in self._range.boundaries:
            self._last_boundary = time
            yield self.finish_section()

    def finish_section(self, frame: ConvertedFrame | None = None) -> RangeResult:
        """Return what was seen since the last one."""
        usual = float(np.median(self._differences)) if self._differences else 0.0
        done = RangeResult(self._changes, usual, frame, self._range.key_frames_only)
        self._changes, self._differences = [], []
        return done

    def _keep_change(self, difference: float, before: "VideoFrame", after: "VideoFrame") -> None:
        """Keep a jump if it is greater than all so far, or than what is usual."""
        if len(self._changes) == MAX_CHANGES and difference <= self._changes[-1].difference:
            return
        greatest = not self._changes or difference > self._changes[0].difference
        prominent = difference > MIN_PROMINENCE * float(np.median(self._differences)) + 2 * MIN_DIFFERENCE
        if difference >= MIN_DIFFERENCE and (greatest or prominent):
            self._changes.append(
                FrameChange(difference, self._converter.convert(before), self._converter.convert(after))
            )
            self._changes.sort(key=lambda jump: -jump.difference)
            del self._changes[MAX_CHANGES:]
