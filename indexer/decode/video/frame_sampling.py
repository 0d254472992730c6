"""Decode selected frames of a video: key frames throughout, then ranges between them.

Decoding dominates the cost of a video. The first pass therefore decodes only key frames, each on its own
and about two seconds apart; the second pass decodes the ranges that `cut_search` selects.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from indexer.decode.text.subtitle_cues import MAX_CUES, is_text_stream, packet_cues
from indexer.decode.video.frame_converter import ConvertedFrame, FrameConverter, FrameSignature
from indexer.decode.video.packet_index import PacketIndex
from retrieval.media.av.container import MAX_FRAME_PIXELS, StartTimeDetector, decode_packet, demux_packets
from retrieval.system import cores

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

SAMPLE_SECONDS = 2.0  # between two samples
DENSE_SAMPLE_SECONDS = 1.0  # between the first samples, so that short clips have enough of them
MAX_DENSE_SAMPLES = 30
MIN_SAMPLE_SECONDS = 0.3  # between a sample and an early key frame
EARLY_KEY_FRAME_SHARE = 0.9  # of the longest distance between key frames; a closer key frame is early
SAMPLES_PER_DOUBLING = 10_000  # (5.5 hours) samples after which their distance doubles
MAX_PACKETS = 4_000_000  # per video: 18 hours at 60 frames a second; the rest is ignored
MAX_LEADING_PACKETS = 500  # decoded in full while no frame has been decoded
MAX_CHANGES = 4  # kept per section of a decode range
MIN_PROMINENCE = 4.0  # times the median difference
MIN_DIFFERENCE = 0.25  # of 255; smaller differences are rounding
SKIP_FRAME_BY_CODEC: dict[str, Literal["NONREF", "BIDIR", "DEFAULT"]] = {  # instead of BIDIR:
    **dict.fromkeys(("hevc", "vvc"), "NONREF"),  # all frames but key frames may be coded as B frames
    **dict.fromkeys(("libdav1d", "av1"), "DEFAULT"),  # these decoders cannot change it between packets
}


class KeyFrameSampler:
    """A selection of key frames: those at a regular distance, and early ones.

    An encoder inserts a key frame earlier than usual where it detects a cut.
    """

    def __init__(self, time_base: Fraction) -> None:
        self._time_base = time_base
        self._sample_count = 0
        self._last_sample: int | None = None
        self._last_key: int | None = None
        self._max_key_interval = 0

    def wants_sample(self, time: int) -> bool:
        """Return True if the key frame at this time is a sample; times that go back never are."""
        interval = time - (time if self._last_key is None else self._last_key)
        is_early = 0 < interval < EARLY_KEY_FRAME_SHARE * self._max_key_interval
        self._last_key, self._max_key_interval = time, max(self._max_key_interval, interval)
        spacing = (
            DENSE_SAMPLE_SECONDS
            if self._sample_count < MAX_DENSE_SAMPLES
            else SAMPLE_SECONDS * 2.0 ** (self._sample_count // SAMPLES_PER_DOUBLING)
        )
        # Key frames at the distance of samples may come slightly early, so that 90 % of it is enough.
        min_seconds = (
            MIN_SAMPLE_SECONDS if is_early and self._sample_count < SAMPLES_PER_DOUBLING else 0.9 * spacing
        )
        if self._last_sample is not None and (time - self._last_sample) * self._time_base < min_seconds:
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
    """Yield the sampled key frames, each with its display size, and add all packets to the index.

    With `slice_threads`, a damaged frame does not discard the frames before it, but decoding is slower.
    """
    configure_decoder(stream, "all", "SLICE" if slice_threads else "AUTO")
    start, sampler, sample_times = StartTimeDetector(), KeyFrameSampler(index.time_base), set[int]()
    has_frame = False
    subtitle_streams = [track for track in container.streams.subtitles if is_text_stream(track)]

    def sampled(frames: "Iterable[VideoFrame]") -> Iterator[tuple[ConvertedFrame, tuple[int, int]]]:
        nonlocal has_frame
        for frame in frames:
            if frame.pts in sample_times or not has_frame:
                has_frame = True
                sample_times.discard(frame.pts or 0)
                yield converter.convert(frame), converter.display_size(frame)

    for packet in demux_packets(container, stream, *subtitle_streams):
        if packet.stream.index != stream.index:
            cues = index.cues.setdefault(packet.stream.index, [])
            cues += packet_cues(packet) if len(cues) < MAX_CUES else []
            continue
        if len(index.times) >= MAX_PACKETS:
            break
        is_shown = start.add_packet(packet)
        time = index.add_packet(packet)
        if is_sample := is_shown and packet.is_keyframe and sampler.wants_sample(time):
            sample_times.add(time)
        if is_sample or (not has_frame and len(index.times) < MAX_LEADING_PACKETS):
            yield from sampled(decode_packet(stream, packet))
    yield from sampled(decode_packet(stream, None))
    index.frame_pixels = stream.codec_context.width * stream.codec_context.height
    index.set_start_time(start.start_time)


def configure_decoder(
    stream: "VideoStream", skip_loop_filter: str, thread_type: Literal["AUTO", "SLICE"] = "AUTO"
) -> None:
    """Set up decoding on all cores, within the limit of pixels.

    `skip_loop_filter` is FFmpeg's name of the frames that keep visible block edges: "all" or "noref".
    """
    stream.thread_type = thread_type
    stream.codec_context.thread_count = cores()
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS), "skip_loop_filter": skip_loop_filter}


@dataclass(frozen=True, slots=True)
class DecodeRange:
    """A range of packets to decode in sequence.

    Every frame within a window is decoded; elsewhere B frames are skipped, or all but key frames.
    """

    rows: tuple[int, int]  # first and last, both included
    windows: tuple[tuple[int, int], ...] = ()  # pairs of times, ascending, without overlap
    boundaries: frozenset[int] = frozenset()  # times at which a section of the result ends
    wanted_times: frozenset[int] = frozenset()  # of frames to return; these end a section, too
    spaced_samples: bool = False  # return frames SAMPLE_SECONDS apart
    key_frames_only: bool = False

    def is_in_window(self, time: int) -> bool:
        """Return True if a time lies within a window."""
        at = bisect_right(self.windows, time, key=lambda window: window[0])
        return at > 0 and time <= self.windows[at - 1][1]

    def __add__(self, other: "DecodeRange") -> "DecodeRange":
        """Return the union of two ranges that overlap."""
        return DecodeRange(
            (min(self.rows[0], other.rows[0]), max(self.rows[1], other.rows[1])),
            tuple(sorted({*self.windows, *other.windows})),
            self.boundaries | other.boundaries,
            self.wanted_times | other.wanted_times,
            self.spaced_samples or other.spaced_samples,
            self.key_frames_only and other.key_frames_only,
        )


def is_prominent(difference: float, median_difference: float) -> bool:
    """Return True if a difference of two frames is far greater than the median around it."""
    return difference > MIN_PROMINENCE * median_difference + 2 * MIN_DIFFERENCE


@dataclass(slots=True)
class FrameChange:
    """Two consecutive frames and the mean difference of their signatures, 0 to 255."""

    difference: float
    before: ConvertedFrame
    after: ConvertedFrame


@dataclass(slots=True)
class RangeResult:
    """The result of one section of a decode range, which ends at a boundary or a returned frame."""

    changes: list[FrameChange] = field(default_factory=list)  # the greatest, in descending order
    median_difference: float = 0.0
    frame: ConvertedFrame | None = None
    key_frames_only: bool = False  # if so, there are other frames between those of a change


def decode_ranges(
    container: "InputContainer",
    stream: "VideoStream",
    time_base: Fraction,
    converter: FrameConverter,
    ranges: Sequence[DecodeRange],
) -> Iterator[RangeResult]:
    """Decode ranges, which must be ascending and disjoint, and yield the result of each section."""
    configure_decoder(stream, "noref")
    context, pending = stream.codec_context, list(reversed(ranges))
    detector: ChangeDetector | None = None
    default_skip: Literal["NONREF", "BIDIR", "DEFAULT"] = SKIP_FRAME_BY_CODEC.get(context.name, "BIDIR")
    for row, packet in enumerate(islice(demux_packets(container, stream), MAX_PACKETS)):
        if not pending:
            return
        decode_range = pending[-1]
        if row < decode_range.rows[0]:
            continue
        if detector is None:
            detector = ChangeDetector(decode_range, time_base, converter)
        if decode_range.key_frames_only:
            context.skip_frame = "NONKEY"
        else:
            context.skip_frame = "DEFAULT" if decode_range.is_in_window(packet.pts or 0) else default_skip
        for frame in decode_packet(stream, packet):
            yield from detector.add_frame(frame)
        if row >= decode_range.rows[1]:
            for frame in decode_packet(stream, None):
                yield from detector.add_frame(frame)
            yield detector.finish_section()
            context.flush_buffers()
            detector = None
            pending.pop()


class ChangeDetector:
    """A detector of changes between consecutive frames; it keeps the greatest of each section."""

    def __init__(self, decode_range: DecodeRange, time_base: Fraction, converter: FrameConverter) -> None:
        self._range, self._converter = decode_range, converter
        self._spacing = round(SAMPLE_SECONDS / time_base)
        self._last_boundary = min(decode_range.boundaries, default=0)
        self._previous: tuple[VideoFrame, FrameSignature] | None = None
        self._changes: list[FrameChange] = []
        self._differences: list[float] = []

    def add_frame(self, frame: "VideoFrame") -> Iterator[RangeResult]:
        """Compare a frame with the one before, and yield the result of the section that it ends."""
        signature = self._converter.signature(frame)
        if self._previous is not None:
            difference = float(np.abs(signature - self._previous[1]).mean())
            self._differences.append(difference)
            self._keep_change(difference, self._previous[0], frame)
        self._previous = frame, signature
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
        """Return the result since the last section, and start the next one."""
        median = float(np.median(self._differences)) if self._differences else 0.0
        result = RangeResult(self._changes, median, frame, self._range.key_frames_only)
        self._changes, self._differences = [], []
        return result

    def _keep_change(self, difference: float, before: "VideoFrame", after: "VideoFrame") -> None:
        """Keep a change that is the greatest of the section so far, or prominent in it."""
        if difference < MIN_DIFFERENCE:
            return
        if len(self._changes) == MAX_CHANGES and difference <= self._changes[-1].difference:
            return
        is_greatest = not self._changes or difference > self._changes[0].difference
        if is_greatest or is_prominent(difference, float(np.median(self._differences))):
            self._changes.append(
                FrameChange(difference, self._converter.convert(before), self._converter.convert(after))
            )
            self._changes.sort(key=lambda change: -change.difference)
            del self._changes[MAX_CHANGES:]
