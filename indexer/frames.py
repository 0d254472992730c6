"""Frames of a video: upright and small, with their times; some spread over it all, some between two of them.

Decoding is what a video costs, so that at first only key frames are decoded, each on its own, about two
seconds apart. What lies between two of them is decoded where `scenes` asks for it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.cues import MOST_CUES, Cue, cue_of, is_text
from retrieval.film import MAX_PIXELS, Beginning, decode, packets
from retrieval.machine import cores

if TYPE_CHECKING:
    from av import Packet, VideoFrame, VideoStream
    from av.container import InputContainer

SPACING = 2.0  # seconds from one sample to the next
DENSE, FIRST = 60, 1.0  # so many samples at first are nearer, for clips
MANY = 10_000  # samples after which they are twice as far apart, again and again: five and a half hours
MOST_PACKETS = 4_000_000  # of a video, 18 hours of 60 a second; what follows is left out
LEADING = 500  # packets decoded in full at the beginning until there is a first picture
JUMPS = 4  # of a stretch, the greatest
LEAST = 0.25  # of 255: a smaller difference is rounding
GLANCE = 32  # pixels of each side of a frame that is only compared with its neighbour
THUMBNAIL = 320

Glance = NDArray[np.int16]  # (32, 32, 3)


class Frame(NamedTuple):
    """A frame when it is shown, in units of its stream, upright and small."""

    time: int
    picture: Image.Image


@dataclass(slots=True)
class Reel:
    """The packets of a video, in the order of decoding: when each is shown, its size, whether it is a key.

    `first` is the time of the first picture, `end` that of the end of the last, `unit` the seconds of one
    unit of time.
    """

    unit: Fraction
    times: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)  # rows
    first: int = 0
    end: int = 0
    pixels: int = 0  # of a frame
    cues: list[Cue] = field(default_factory=list)  # of its subtitles, in seconds of the file
    _shown: list[int] = field(default_factory=list)

    def seconds(self, time: int) -> float:
        """Return how long after the first picture this time is."""
        return round(float(max(0, time - self.first) * self.unit), 6)

    def time(self, seconds: float) -> int:
        """Return the time that is so many seconds after the first picture."""
        return self.first + round(Fraction(seconds) / self.unit)

    def is_key(self, row: int) -> bool:
        """Say whether this row is a key frame."""
        at = bisect_left(self.keys, row)
        return at < len(self.keys) and self.keys[at] == row

    def neighbours(self, time: int, later: int) -> bool:
        """Say whether no other frame is shown between two."""
        if not self._shown:
            self._shown = sorted(self.times)
        return bisect_left(self._shown, later) - bisect_right(self._shown, time) == 0


class Lens:
    """Make upright small pictures, of square pixels, of the frames of a stream."""

    def __init__(self, stream: "VideoStream", near: int) -> None:
        aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
        self.aspect = float(aspect) if aspect and 0.1 <= aspect <= 10 else 1.0
        self.near = near

    def frame(self, frame: "VideoFrame") -> Frame:
        """Return the frame with its picture."""
        return Frame(frame.pts or 0, self.take(frame))

    def take(self, frame: "VideoFrame") -> Image.Image:
        """Return an RGB picture of which both sides have `near` pixels, if the frame has, and no more."""
        width, height = frame.width * self.aspect, float(frame.height)
        scale = min(1.0, max(self.near / min(width, height), THUMBNAIL / max(width, height)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = frame.reformat(width=size[0], height=size[1], format="rgb24", interpolation="BILINEAR")
        picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]
        return upright(picture, frame)

    def size(self, frame: "VideoFrame") -> tuple[int, int]:
        """Return width and height as a frame is shown."""
        width, height = round(frame.width * self.aspect), frame.height
        return (height, width) if _matrix(frame)[0] == 0 else (width, height)

    @staticmethod
    def glance(frame: "VideoFrame") -> Glance:
        """Return next to nothing of a frame, enough to see that it is another than the one before."""
        tiny = frame.reformat(width=GLANCE, height=GLANCE, format="rgb24", interpolation="BILINEAR")
        return tiny.to_ndarray().astype(np.int16)


def upright(picture: Image.Image, frame: "VideoFrame") -> Image.Image:
    """Turn and mirror a picture as the frame's display matrix says."""
    turn = _TURNS.get(_matrix(frame))
    return picture if turn is None else picture.transpose(turn)


_TURNS = {  # the signs of the matrix: where the right and the lower edge of the frame go
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def _matrix(frame: "VideoFrame") -> tuple[int, int, int, int]:
    side: Any = frame.side_data  # its stub says less than it is
    for data in side:
        if data.type.name == "DISPLAYMATRIX":
            right, down, _, left, up = np.frombuffer(bytes(data), np.int32)[:5] / 65536
            return round(right), round(down), round(left), round(up)
    return 1, 0, 0, 1


class Sampler:
    """Say which key frames are far enough from the one before to be looked at."""

    def __init__(self, unit: Fraction) -> None:
        self._unit = unit
        self._taken = 0
        self._last: int | None = None

    def wants(self, time: int) -> bool:
        """Say whether a key frame is a sample; times that go back are none."""
        spacing = FIRST if self._taken < DENSE else SPACING * 2.0 ** (self._taken // MANY)
        # A tenth less: key frames that are as far apart as samples come a little early, too.
        if self._last is not None and (time - self._last) * self._unit < 0.9 * spacing:
            return False
        self._last = time
        self._taken += 1
        return True


def samples(
    container: "InputContainer", stream: "VideoStream", reel: Reel, lens: Lens
) -> Iterator[tuple[Frame, tuple[int, int]]]:
    """Yield key frames about SPACING apart, each with width and height; note all packets in `reel`."""
    _prepare(stream, "all")
    beginning, sampler, wanted = Beginning(), Sampler(reel.unit), set[int]()
    begun, number = False, 0
    texts = [each for each in container.streams.subtitles if is_text(each)]

    def taken(frames: "list[VideoFrame]") -> Iterator[tuple[Frame, tuple[int, int]]]:
        nonlocal begun
        for frame in frames:
            if frame.pts in wanted or not begun:
                begun = True
                wanted.discard(frame.pts)
                yield lens.frame(frame), lens.size(frame)

    for packet in packets(container, stream, *texts):
        if packet.stream.index != stream.index:
            reel.cues += cue_of(packet) if len(reel.cues) < MOST_CUES else []
            continue
        if (number := number + 1) > MOST_PACKETS:
            break
        shown = beginning.see(packet)
        time = _note(reel, packet)
        if sample := shown and packet.is_keyframe and sampler.wants(time):
            wanted.add(time)
        if sample or (not begun and number < LEADING):
            yield from taken(decode(stream, packet))
    yield from taken(decode(stream, None))
    reel.pixels = stream.codec_context.width * stream.codec_context.height
    reel.first = min(reel.times, default=0) if beginning.time is None else beginning.time


def _prepare(stream: "VideoStream", unfiltered: str) -> None:
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = cores()
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS), "skip_loop_filter": unfiltered}


def _note(reel: Reel, packet: "Packet[Any]") -> int:
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

    Between two times of a window every frame is decoded, elsewhere all but B frames. `marks` are the times
    of the samples in it; with `every`, frames SPACING apart are returned beside them.
    """

    rows: tuple[int, int]  # the last included
    marks: tuple[int, ...]
    windows: tuple[tuple[int, int], ...]
    every: bool
    wanted: tuple[int, ...] = ()  # times at which frames are returned, too


@dataclass(slots=True)
class Jump:
    """Two frames that follow each other, and by how much they differ at a glance."""

    difference: float
    before: Frame
    after: Frame


@dataclass(slots=True)
class Stretch:
    """What was seen up to a sample or up to `picture`: the greatest jumps, and how much is usual."""

    jumps: list[Jump] = field(default_factory=list)
    usual: float = 0.0
    picture: Frame | None = None


def look(
    container: "InputContainer", stream: "VideoStream", reel: Reel, lens: Lens, runs: Sequence[Run]
) -> Iterator[Stretch]:
    """Decode runs of packets, which are ascending, and yield what is seen in every stretch of them."""
    _prepare(stream, "noref")
    context, left = stream.codec_context, list(reversed(runs))
    watcher: Watcher | None = None
    for row, packet in enumerate(islice(packets(container, stream), MOST_PACKETS)):
        if not left:
            return
        run = left[-1]
        if row < run.rows[0]:
            continue
        if watcher is None:
            watcher = Watcher(run, reel, lens)
        time = packet.pts or 0
        context.skip_frame = "DEFAULT" if any(a <= time <= b for a, b in run.windows) else "BIDIR"
        for frame in decode(stream, packet):
            yield from watcher.see(frame)
        if row >= run.rows[1]:
            for frame in decode(stream, None):
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
        self._marks = sorted(run.marks)
        self._since = self._marks[0] if self._marks else 0
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
        done = Stretch(self._jumps, usual, picture)
        self._jumps, self._differences = [], []
        return done

    def _keep(self, difference: float, before: "VideoFrame", after: "VideoFrame") -> None:
        if difference < LEAST or (len(self._jumps) == JUMPS and difference <= self._jumps[-1].difference):
            return
        frames = (self._lens.frame(frame) for frame in (before, after))
        self._jumps.append(Jump(difference, *frames))
        self._jumps.sort(key=lambda jump: -jump.difference)
        del self._jumps[JUMPS:]
