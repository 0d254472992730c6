"""Whole frames of a video, one from the middle of each of its moments, to be read."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from indexer.decode.video.cut_search import merge_ranges
from indexer.decode.video.frame_converter import FrameConverter
from indexer.decode.video.frame_sampling import MAX_PACKETS, DecodeRange, add_packet, configure_decoder
from indexer.decode.video.packet_index import PacketIndex
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

SceneRange = tuple[float, float]  # seconds from the first picture


class SceneFrame(NamedTuple):
    """A frame, upright, and the moment that it is of."""

    scene: SceneRange
    image: "Image"


def extract_scene_frames(
    file: BinaryIO, scenes: Sequence[SceneRange], max_short_side: int
) -> Iterator[SceneFrame]:
    """Yield a frame of each of some moments, ascending, its shorter side of at most `side` pixels.

    Raises MediaError where there is no video; a moment of which nothing can be decoded is left out.
    """
    with open_container(file) as container:
        stream = video_stream(container)
        reel = _index_packets(container, stream)
    wanted = {_middle_time(reel, moment): moment for moment in scenes} if reel.times else {}
    with open_container(file) as container:
        stream = video_stream(container)
        lens = FrameConverter(stream, max_short_side)
        for frame in _decode_wanted_frames(
            container, stream, merge_ranges(_decode_range(reel, time) for time in wanted)
        ):
            yield SceneFrame(wanted[frame.pts or 0], lens.convert(frame).image)


def _index_packets(container: "InputContainer", stream: "VideoStream") -> PacketIndex:
    """Return what the packets of a video tell, none of them decoded."""
    reel, beginning = PacketIndex(stream.time_base or Fraction(1, 1000)), StartTimeDetector()
    for packet in islice(demux_packets(container, stream), MAX_PACKETS):
        beginning.add_packet(packet)
        add_packet(reel, packet)
    reel.start_time = min(reel.times, default=0) if beginning.start_time is None else beginning.start_time
    return reel


def _middle_time(index: PacketIndex, scene: SceneRange) -> int:
    """Return the time of the frame that is shown in the middle of a moment."""
    at = bisect_right(index.display_times, index.to_time(sum(scene) / 2))
    return index.display_times[max(0, at - 1)]


def _decode_range(index: PacketIndex, time: int) -> DecodeRange:
    first, _, last = index.decode_rows(time, time)
    return DecodeRange((first, last), wanted_times=frozenset((time,)))


def _decode_wanted_frames(
    container: "InputContainer", stream: "VideoStream", ranges: Sequence[DecodeRange]
) -> "Iterator[VideoFrame]":
    """Decode runs of packets, ascending, and yield the frames that they want."""
    configure_decoder(stream, "noref")
    left = list(reversed(ranges))
    for row, packet in enumerate(demux_packets(container, stream)):
        if not left:
            return
        (first, last), wanted = left[-1].rows, left[-1].wanted_times
        if row < first:
            continue
        frames = decode_packet(stream, packet)
        if row >= last:
            frames += decode_packet(stream, None)
            stream.codec_context.flush_buffers()
            left.pop()
        yield from (frame for frame in frames if frame.pts in wanted)
