"""Determine how the stored times of a video that an older version decoded are corrected."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from indexer.decode.base import DecodedFile
from indexer.decode.metadata.video_properties import is_taken_in_utc, video_properties
from indexer.decode.text.subtitle_cues import is_text_stream
from retrieval.errors import MediaError
from retrieval.media.av.container import (
    StartTimeDetector,
    demux_packets,
    is_broadcast_format,
    open_container,
    video_stream,
    zero_time,
)

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer

MAX_START_PACKETS = 2_000  # searched for the first picture
MAX_BACKWARD_SECONDS, MAX_FORWARD_SECONDS = 2, 10  # a longer step may be a jump of the clock


@dataclass(frozen=True, slots=True)
class VideoCorrection:
    """What to do with the stored segments of a video."""

    shift: float  # seconds to add to their times
    has_jumps: bool  # of its clock: all segments are made again
    has_several_subtitles: bool  # the scenes and subtitles are made again
    metadata: DecodedFile  # its capture time

    @property
    def needs_decoding(self) -> bool:
        """Return True if the video must be decoded again."""
        return self.has_jumps or self.has_several_subtitles


def find_correction(file: BinaryIO) -> VideoCorrection | None:
    """Return the correction of a video that version 1 decoded; None if the file is not a video.

    Nothing is decoded.
    """
    try:
        with open_container(file) as container:
            stream = video_stream(container)
            time_base, start = stream.time_base or Fraction(1, 1000), StartTimeDetector()
            for packet in islice(demux_packets(container, stream), MAX_START_PACKETS):
                start.add_packet(packet)
            zero = zero_time(container, time_base)
            metadata = dict(container.metadata)
            subtitle_count = sum(map(is_text_stream, container.streams.subtitles))
        with open_container(file) as container:
            has_jumps = _has_jumps(container, video_stream(container))
    except MediaError:  # an image or text with the suffix of a video
        return None
    first = zero if start.start_time is None else start.start_time
    return VideoCorrection(
        round(float((first - zero) * time_base), 6),
        has_jumps,
        subtitle_count > 1,
        DecodedFile([], video_properties(metadata, None, 0.0), is_taken_in_utc=is_taken_in_utc(metadata)),
    )


def _has_jumps(container: "InputContainer", stream: "VideoStream") -> bool:
    """Return True if the decoding times in a file jump."""
    import av

    is_broadcast = is_broadcast_format(container)
    if not is_broadcast and "matroska" not in container.format.name:
        return False
    unit, last = stream.time_base or Fraction(1, 1000), None
    max_backward, max_forward = (int(each / unit) for each in (MAX_BACKWARD_SECONDS, MAX_FORWARD_SECONDS))
    try:
        for packet in container.demux(stream):
            if packet.dts is None:
                continue
            step = 0 if last is None else packet.dts - last
            if step < -max_backward or (is_broadcast and step > max_forward):
                return True
            last = packet.dts
    except (av.FFmpegError, ValueError):  # the rest is damaged
        pass
    return False
