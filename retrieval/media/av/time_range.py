"""A time range of an open video or audio file: its packets and frames."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any

from retrieval.errors import MediaError
from retrieval.media.av.container import StartTimeDetector, decode_packet, demux_packets, video_stream

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

MAX_START_PACKETS = 2_000  # searched for the first frame
MAX_INTERLEAVE_SECONDS = 1  # by which audio may follow its video in a file


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time range of an open file, in the file's own times."""

    container: "InputContainer"
    streams: "list[Stream]"  # the main stream first
    main_stream: "Stream"  # the video, or audio without video; the clip begins at its key frame
    origin: Fraction  # the time of the first frame
    start: Fraction
    end: Fraction
    key_frame_time: Fraction  # the last key frame at or before the start
    seek_time: Fraction | None  # a seek to this time finds the key frame; None is the start of the file

    @classmethod
    def from_container(cls, container: "InputContainer", start: float, end: float) -> "TimeRange":
        """Return the range between two times in seconds, after a search for its key frame."""
        main = _main_stream(container)
        detector = StartTimeDetector()
        for packet in islice(demux_packets(container, main), MAX_START_PACKETS):
            detector.add_packet(packet)
        origin = (detector.start_time or 0) * (main.time_base or Fraction(1))
        first, last = (origin + Fraction(time).limit_denominator(10**6) for time in (start, end))
        step_back = Fraction(0)
        while True:
            seek = first - step_back if first - step_back > origin else None
            key_frame = _key_frame_before(container, main, first, seek)
            if key_frame is not None or seek is None:
                streams = [main, *(audio for audio in container.streams.audio if audio.index != main.index)]
                return cls(container, streams, main, origin, first, last, key_frame or origin, seek)
            step_back = 2 * step_back + 2

    def packets(self) -> "Iterator[Packet[Any]]":
        """Yield the packets from the key frame to the end, and later ones that these depend on."""
        started = False
        later: list[Packet[Any]] = []
        _seek_to(self.container, self.main_stream, self.seek_time)
        for packet in demux_packets(self.container, *self.streams):
            time = packet_time(packet)
            is_main = packet.stream.index == self.main_stream.index
            started = started or (is_main and packet.is_keyframe and time == self.key_frame_time)
            if is_main and _decode_time(packet) >= self.end + MAX_INTERLEAVE_SECONDS:
                return
            if time < self.key_frame_time or (is_main and not started):
                continue
            if time < self.end:
                if is_main:  # depends on packets that are shown after the end
                    yield from later
                    later = []
                yield packet
            elif is_main:
                later.append(packet)

    def frames(self) -> "Iterator[tuple[Any, Stream]]":
        """Yield the frames from the key frame to the end, each with its stream."""
        for packet in self.packets():
            for frame in decode_packet(packet.stream, packet):
                yield frame, packet.stream
        for stream in self.streams:
            for frame in decode_packet(stream, None):
                yield frame, stream


def _main_stream(container: "InputContainer") -> "Stream":
    """Return the video stream, or the audio stream of a file without video; a cover is not a video."""
    try:
        return video_stream(container)
    except MediaError:
        if not container.streams.audio:
            raise
        return container.streams.audio[0]


def _key_frame_before(
    container: "InputContainer", main_stream: "Stream", time: Fraction, seek_time: Fraction | None
) -> Fraction | None:
    """Return the time of the last key frame at or before a time; the search begins at `seek_time`."""
    key_frame_time = None
    _seek_to(container, main_stream, seek_time)
    for packet in demux_packets(container, main_stream):
        if packet.is_keyframe and packet_time(packet) <= time:
            key_frame_time = packet_time(packet)
        if _decode_time(packet) > time:
            break
    return key_frame_time


def _seek_to(container: "InputContainer", main_stream: "Stream", time: Fraction | None) -> None:
    import av

    try:
        if time is None:
            container.seek(0)
        else:
            container.seek(int(time / (main_stream.time_base or Fraction(1))), stream=main_stream)
    except av.FFmpegError:  # without an index, reading continues at the current position
        return


def packet_time(packet: "Packet[Any]") -> Fraction:
    """Return the presentation time of a packet in seconds."""
    return (packet.pts or 0) * packet_time_base(packet)


def _decode_time(packet: "Packet[Any]") -> Fraction:
    return ((packet.pts if packet.dts is None else packet.dts) or 0) * packet_time_base(packet)


def packet_time_base(packet: "Packet[Any]") -> Fraction:
    """Return the unit of a packet's times in seconds."""
    return packet.time_base or Fraction(1)
