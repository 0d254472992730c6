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

from indexer.decode.text.subtitle_cues import MOST_CUES, cue_of, is_text
from indexer.decode.video.frame_converter import Frame, Glance, Lens
from indexer.decode.video.packet_index import Reel
from retrieval.media.av.container import MAX_FRAME_PIXELS, StartTimeDetector, decode_packet, demux_packets
from retrieval.system import cores

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

SPACING = 2.0  # seconds from one sample to the next
DENSE, FIRST = 30, 1.0  # so many samples at first are nearer, for clips
EARLY, SOON = 0.9, 0.3  # of the usual time between key frames; seconds from the sample before, at least
MANY = 10_000  # samples after which they are twice as far apart, again and again: five and a half hours
MOST_PACKETS = 4_000_000  # of a video, 18 hours of 60 a second; what follows is left out
LEADING = 500  # packets decoded in full at the beginning until there is a first picture
JUMPS = 4  # of a stretch, the greatest
PROMINENT = 4.0  # times as unlike as is usual there
LEAST = 0.25  # of 255: a smaller difference is rounding
PASSED: dict[
    str, Literal["NONREF", "BIDIR", "DEFAULT"]
] = {  # what is decoded where others are spared B frames:
    **dict.fromkeys(("hevc", "vvc"), "NONREF"),  # all but key frames may be written as such
    **dict.fromkeys(("libdav1d", "av1"), "DEFAULT"),  # their decoders do not change what they spare
}


class Sampler:
    """Say which key frames are looked at: those far enough from the one before, and those that come early.

    A key frame that comes before its time is a coder's answer to a cut.
    """

    def __init__(self, unit: Fraction) -> None:
        self._unit = unit
        self._taken = 0
        self._last: int | None = None
        self._key: int | None = None
        self._usual = 0  # from a key frame to the next, at most

    def wants(self, time: int) -> bool:
        """Say whether a key frame is a sample; times that go back are none."""
        apart = time - (time if self._key is None else self._key)
        early = 0 < apart < EARLY * self._usual
        self._key, self._usual = time, max(self._usual, apart)
        spacing = FIRST if self._taken < DENSE else SPACING * 2.0 ** (self._taken // MANY)
        # A tenth less: key frames that are as far apart as samples come a little early, too.
        least = SOON if early and self._taken < MANY else 0.9 * spacing
        if self._last is not None and (time - self._last) * self._unit < least:
            return False
        self._last = time
        self._taken += 1
        return True


def samples(
    container: "InputContainer", stream: "VideoStream", reel: Reel, lens: Lens, *, one_by_one: bool = False
) -> Iterator[tuple[Frame, tuple[int, int]]]:
    """Yield key frames about SPACING apart, each with width and height; note all packets in `reel`.

    Decoded `one_by_one`, a frame that is damaged costs none of those before it.
    """
    prepare(stream, "all", "SLICE" if one_by_one else "AUTO")
    beginning, sampler, wanted = StartTimeDetector(), Sampler(reel.unit), set[int]()
    begun, number = False, 0
    texts = [each for each in container.streams.subtitles if is_text(each)]

    def taken(frames: "list[VideoFrame]") -> Iterator[tuple[Frame, tuple[int, int]]]:
        nonlocal begun
        for frame in frames:
            if frame.pts in wanted or not begun:
                begun = True
                wanted.discard(frame.pts)
                yield lens.frame(frame), lens.size(frame)

    for packet in demux_packets(container, stream, *texts):
        if packet.stream.index != stream.index:
            reel.cues += cue_of(packet) if len(reel.cues) < MOST_CUES else []
            continue
        if (number := number + 1) > MOST_PACKETS:
            break
        shown = beginning.add_packet(packet)
        time = note(reel, packet)
        if sample := shown and packet.is_keyframe and sampler.wants(time):
            wanted.add(time)
        if sample or (not begun and number < LEADING):
            yield from taken(decode_packet(stream, packet))
    yield from taken(decode_packet(stream, None))
    reel.pixels = stream.codec_context.width * stream.codec_context.height
    reel.first = min(reel.times, default=0) if beginning.start_time is None else beginning.start_time


def prepare(stream: "VideoStream", unfiltered: str, threads: Literal["AUTO", "SLICE"] = "AUTO") -> None:
    """Decode on all cores and within the limit of pixels; blocks of `unfiltered` frames keep their edges."""
    stream.thread_type = threads
    stream.codec_context.thread_count = cores()
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS), "skip_loop_filter": unfiltered}


def note(reel: Reel, packet: "Packet[Any]") -> int:
    """Write a packet into the reel; returns its time."""
    time = packet.pts or 0
    if packet.is_keyframe:
        reel.keys.append(len(reel.times))
    reel.times.append(time)
    reel.sizes.append(packet.size)
    reel.end = max(reel.end, time + (packet.duration or 0))
    return time


@dataclass(frozen=True, slots=True)
class Run:
    """Rows of packets that are decoded one after the other.

    Between two times of a window every frame is decoded, elsewhere all but B frames, or with `keys` nothing
    but key frames. What is seen is told apart at `marks`. Frames are returned at the times that are `wanted`,
    and with `every` SPACING apart.
    """

    rows: tuple[int, int]  # the last included
    windows: tuple[tuple[int, int], ...] = ()  # by their times; they do not overlap
    marks: frozenset[int] = frozenset()
    wanted: frozenset[int] = frozenset()
    every: bool = False
    keys: bool = False

    def shows_all(self, time: int) -> bool:
        """Say whether a time is within a window."""
        at = bisect_right(self.windows, time, key=lambda window: window[0])
        return at > 0 and time <= self.windows[at - 1][1]

    def __add__(self, other: "Run") -> "Run":
        """Return the run of both, of which the other begins before this one ends."""
        return Run(
            (min(self.rows[0], other.rows[0]), max(self.rows[1], other.rows[1])),
            tuple(sorted({*self.windows, *other.windows})),
            self.marks | other.marks,
            self.wanted | other.wanted,
            self.every or other.every,
            self.keys and other.keys,
        )


@dataclass(slots=True)
class Jump:
    """Two frames that follow each other, and by how much they differ at a glance."""

    difference: float
    before: Frame
    after: Frame

    def is_prominent(self, usual: float) -> bool:
        """Say whether it is far greater than what is usual there."""
        return self.difference > PROMINENT * usual + 2 * LEAST


@dataclass(slots=True)
class Stretch:
    """What was seen up to a sample or up to `picture`: the greatest jumps, and how much is usual."""

    jumps: list[Jump] = field(default_factory=list)
    usual: float = 0.0
    picture: Frame | None = None
    keys: bool = False  # they are key frames, between which there are others


def look(
    container: "InputContainer", stream: "VideoStream", reel: Reel, lens: Lens, runs: Sequence[Run]
) -> Iterator[Stretch]:
    """Decode runs of packets, which are ascending, and yield what is seen in every stretch of them."""
    prepare(stream, "noref")
    context, left = stream.codec_context, list(reversed(runs))
    watcher: Watcher | None = None
    passed: Literal["NONREF", "BIDIR", "DEFAULT"] = PASSED.get(context.name, "BIDIR")
    for row, packet in enumerate(islice(demux_packets(container, stream), MOST_PACKETS)):
        if not left:
            return
        run = left[-1]
        if row < run.rows[0]:
            continue
        if watcher is None:
            watcher = Watcher(run, reel, lens)
        time = packet.pts or 0
        within = run.shows_all(time)
        context.skip_frame = "NONKEY" if run.keys else "DEFAULT" if within else passed
        for frame in decode_packet(stream, packet):
            yield from watcher.see(frame)
        if row >= run.rows[1]:
            for frame in decode_packet(stream, None):
                yield from watcher.see(frame)
            yield watcher.stretch()
            context.flush_buffers()
            watcher = None
            left.pop()


class Watcher:
    """Compare each frame of a run with the one before, and keep the greatest jumps of each stretch."""

    def __init__(self, run: Run, reel: Reel, lens: Lens) -> None:
        self._run, self._lens = run, lens
        self._spacing = round(SPACING / reel.unit)
        self._since = min(run.marks, default=0)
        self._before: tuple[VideoFrame, Glance] | None = None
        self._jumps: list[Jump] = []
        self._differences: list[float] = []

    def see(self, frame: "VideoFrame") -> Iterator[Stretch]:
        """Take note of a frame; yields the stretch that it ends."""
        glance = self._lens.glance(frame)
        if self._before is not None:
            difference = float(np.abs(glance - self._before[1]).mean())
            self._differences.append(difference)
            self._keep(difference, self._before[0], frame)
        self._before = frame, glance
        time = frame.pts or 0
        if time in self._run.wanted or (self._run.every and time - self._since >= self._spacing):
            self._since = time
            yield self.stretch(self._lens.frame(frame))
        elif time in self._run.marks:
            self._since = time
            yield self.stretch()

    def stretch(self, picture: Frame | None = None) -> Stretch:
        """Return what was seen since the last one."""
        usual = float(np.median(self._differences)) if self._differences else 0.0
        done = Stretch(self._jumps, usual, picture, self._run.keys)
        self._jumps, self._differences = [], []
        return done

    def _keep(self, difference: float, before: "VideoFrame", after: "VideoFrame") -> None:
        """Keep a jump if it is greater than all so far, or than what is usual."""
        if len(self._jumps) == JUMPS and difference <= self._jumps[-1].difference:
            return
        greatest = not self._jumps or difference > self._jumps[0].difference
        prominent = difference > PROMINENT * float(np.median(self._differences)) + 2 * LEAST
        if difference >= LEAST and (greatest or prominent):
            self._jumps.append(Jump(difference, self._lens.frame(before), self._lens.frame(after)))
            self._jumps.sort(key=lambda jump: -jump.difference)
            del self._jumps[JUMPS:]
