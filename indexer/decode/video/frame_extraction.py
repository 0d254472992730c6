"""Decode one frame from the middle of each scene, large enough for text recognition."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from indexer.decode.video.cut_search import merge_ranges
from indexer.decode.video.frame_converter import FrameConverter
from indexer.decode.video.frame_sampling import MAX_PACKETS, DecodeRange, configure_decoder
from indexer.decode.video.packet_index import PacketIndex
from retrieval.media.av.container import (
    StartTimeDetector,
    decode_packet,
    demux_packets,
    open_container,
    video_stream,
    zero_time,
)

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer
    from PIL.Image import Image

SceneRange = tuple[float, float]  # seconds


class SceneFrame(NamedTuple):
    """An upright frame and its scene."""

    scene: SceneRange
    image: "Image"


def extract_scene_frames(
    file: BinaryIO, scenes: Sequence[SceneRange], max_short_side: int
) -> Iterator[SceneFrame]:
    """Yield the middle frame of each scene; scenes must be ascending.

    The shorter side of a frame has at most `max_short_side` pixels. Scenes without a decodable frame are
    left out. Raises MediaError if there is no video stream.
    """
    with open_container(file) as container:
        index = _index_packets(container, video_stream(container))
    scene_by_time = {_middle_time(index, scene): scene for scene in scenes} if index.times else {}
    ranges = merge_ranges(_decode_range(index, time) for time in scene_by_time)
    with open_container(file) as container:
        stream = video_stream(container)
        converter = FrameConverter(stream, max_short_side)
        for frame in _decode_wanted_frames(container, stream, ranges):
            yield SceneFrame(scene_by_time[frame.pts or 0], converter.convert(frame).image)


def _index_packets(container: "InputContainer", stream: "VideoStream") -> PacketIndex:
    """Return the packet index of a stream, without decoding it."""
    time_base, start = stream.time_base or Fraction(1, 1000), StartTimeDetector()
    index = PacketIndex(time_base, zero=zero_time(container, time_base))
    for packet in islice(demux_packets(container, stream), MAX_PACKETS):
        start.add_packet(packet)
        index.add_packet(packet)
    index.set_start_time(start.start_time)
    return index


def _middle_time(index: PacketIndex, scene: SceneRange) -> int:
    """Return the time of the frame that is shown in the middle of a scene."""
    at = bisect_right(index.display_times, index.to_time(sum(scene) / 2))
    return index.display_times[max(0, at - 1)]


def _decode_range(index: PacketIndex, time: int) -> DecodeRange:
    first, _, last = index.decode_rows(time, time)
    return DecodeRange((first, last), wanted_times=frozenset((time,)))


def _decode_wanted_frames(
    container: "InputContainer", stream: "VideoStream", ranges: Sequence[DecodeRange]
) -> "Iterator[VideoFrame]":
    """Decode ranges, which must be ascending, and yield their wanted frames."""
    configure_decoder(stream, "noref")
    pending = list(reversed(ranges))
    for row, packet in enumerate(demux_packets(container, stream)):
        if not pending:
            return
        (first, last), wanted_times = pending[-1].rows, pending[-1].wanted_times
        if row < first:
            continue
        frames = decode_packet(stream, packet)
        if row >= last:
            frames += decode_packet(stream, None)
            stream.codec_context.flush_buffers()
            pending.pop()
        yield from (frame for frame in frames if frame.pts in wanted_times)
