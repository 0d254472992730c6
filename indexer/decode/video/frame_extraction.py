"""Whole frames of a video, one from the middle of each of its moments, to be read."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from indexer.decode.video.cut_search import joined
from indexer.decode.video.frame_converter import Lens
from indexer.decode.video.frame_sampling import MOST_PACKETS, Run, note, prepare
from indexer.decode.video.packet_index import Reel
from retrieval.media.av.container import (
    StartTimeDetector,
    decode_packet,
    demux_packets,
    open_container,
    video_stream,
)

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer
    from PIL.Image import Image

Moment = tuple[float, float]  # seconds from the first picture


class Shot(NamedTuple):
    """A frame, upright, and the moment that it is of."""

    moment: Moment
    picture: "Image"


def shots(file: BinaryIO, moments: Sequence[Moment], side: int) -> Iterator[Shot]:
    """Yield a frame of each of some moments, ascending, its shorter side of at most `side` pixels.

    Raises MediaError where there is no video; a moment of which nothing can be decoded is left out.
    """
    with open_container(file) as container:
        stream = video_stream(container)
        reel = _wind(container, stream)
    wanted = {_middle(reel, moment): moment for moment in moments} if reel.times else {}
    with open_container(file) as container:
        stream = video_stream(container)
        lens = Lens(stream, side)
        for frame in _frames(container, stream, joined(_run(reel, time) for time in wanted)):
            yield Shot(wanted[frame.pts or 0], lens.frame(frame).picture)


def _wind(container: "InputContainer", stream: "VideoStream") -> Reel:
    """Return what the packets of a video tell, none of them decoded."""
    reel, beginning = Reel(stream.time_base or Fraction(1, 1000)), StartTimeDetector()
    for packet in islice(demux_packets(container, stream), MOST_PACKETS):
        beginning.add_packet(packet)
        note(reel, packet)
    reel.first = min(reel.times, default=0) if beginning.start_time is None else beginning.start_time
    return reel


def _middle(reel: Reel, moment: Moment) -> int:
    """Return the time of the frame that is shown in the middle of a moment."""
    at = bisect_right(reel.shown, reel.time(sum(moment) / 2))
    return reel.shown[max(0, at - 1)]


def _run(reel: Reel, time: int) -> Run:
    first, _, last = reel.rows(time, time)
    return Run((first, last), wanted=frozenset((time,)))


def _frames(
    container: "InputContainer", stream: "VideoStream", runs: Sequence[Run]
) -> "Iterator[VideoFrame]":
    """Decode runs of packets, ascending, and yield the frames that they want."""
    prepare(stream, "noref")
    left = list(reversed(runs))
    for row, packet in enumerate(demux_packets(container, stream)):
        if not left:
            return
        (first, last), wanted = left[-1].rows, left[-1].wanted
        if row < first:
            continue
        frames = decode_packet(stream, packet)
        if row >= last:
            frames += decode_packet(stream, None)
            stream.codec_context.flush_buffers()
            left.pop()
        yield from (frame for frame in frames if frame.pts in wanted)
