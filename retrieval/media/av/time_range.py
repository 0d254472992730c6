"""A time range of a video or audio file: its packets and frames."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from retrieval.errors import MediaError
from retrieval.media.av.container import (
    decode_packet,
    demux_packets,
    is_broadcast_format,
    video_stream,
    zero_time,
)

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

UNREADABLE_RANGE_REASON = "no frame in this time range can be decoded"
TIME_TOLERANCE = Fraction(1, 2000)  # seconds, because times are rounded
MAX_INTERLEAVE_SECONDS = 1  # by which audio may follow its video in a file


OpenSource = Callable[[], AbstractContextManager["InputContainer"]]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time range of a video or audio file, in the file's own times."""

    streams: tuple[int, ...]  # indexes, the main stream first: the video, or else an audio stream
    origin: Fraction  # the zero of the times of hits
    start: Fraction
    end: Fraction
    key_frame_time: Fraction  # the last key frame of the main stream at or before the start
    seek_time: Fraction | None  # a seek to this time finds the key frame; None is the start of the file

    @classmethod
    def find(cls, open_source: OpenSource, start: float, end: float) -> "TimeRange":
        """Return the range between two times in seconds; raises MediaError.

        Streams that have nothing in the range are left out, so that it may have the audio only.
        """
        with open_source() as container:
            main = _main_stream(container).index
            audio = [stream.index for stream in container.streams.audio if stream.index != main]
        time_range = cls._find_in_streams(open_source, (main, *audio), start, end)
        if time_range is None and audio:
            time_range = cls._find_in_streams(open_source, audio, start, end)
        if time_range is None:
            raise MediaError(UNREADABLE_RANGE_REASON)
        return time_range

    @classmethod
    def _find_in_streams(
        cls, open_source: OpenSource, indexes: Sequence[int], start: float, end: float
    ) -> "TimeRange | None":
        """Return the range of streams, the main one first; None if that has nothing in it.

        Each search opens the file again, because FFmpeg adds to its seek index what it reads.
        """
        step_back = Fraction(0)
        while True:
            with open_source() as container:
                streams = [container.streams[index] for index in indexes]
                time_base = streams[0].time_base or Fraction(1)
                origin = zero_time(container, time_base) * time_base
                first, last = (origin + Fraction(time).limit_denominator(10**6) for time in (start, end))
                is_inside = first - step_back > origin and not is_broadcast_format(container)
                seek = first - step_back if is_inside else None
                key_frame, shown = _find_key_frame(container, streams, (first, last), seek)
            if seek is None or key_frame is not None:
                key_frame = first if key_frame is None else key_frame
                chosen = tuple(index for index in indexes if index in shown)
                is_found = chosen[:1] == (indexes[0],)
                return cls(chosen, origin, first, last, key_frame, seek) if is_found else None
            step_back = 2 * step_back + 2

    def packets(self, container: "InputContainer") -> "Iterator[Packet[Any]]":
        """Yield the packets from the key frame to the end, and later ones that these depend on."""
        started = False
        later: list[Packet[Any]] = []
        main, *others = (container.streams[index] for index in self.streams)
        _seek_to(container, main, self.seek_time)
        for packet in demux_packets(container, main, *others):
            time = packet_time(packet)
            is_main = packet.stream.index == main.index
            started = started or (is_main and packet.is_keyframe and time >= self.key_frame_time)
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

    def frames(self, container: "InputContainer") -> "Iterator[tuple[Any, Stream]]":
        """Yield the frames from the key frame to the end, each with its stream."""
        for packet in self.packets(container):
            for frame in decode_packet(packet.stream, packet):
                yield frame, packet.stream
        for stream in (container.streams[index] for index in self.streams):
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


def _find_key_frame(
    container: "InputContainer",
    streams: "Sequence[Stream]",
    times: tuple[Fraction, Fraction],
    seek_time: Fraction | None,
) -> tuple[Fraction | None, set[int]]:
    """Return the time of the last key frame at or before a range, and the streams with a packet in it.

    The key frame is of the first stream. The search begins at `seek_time`.
    """
    (start, end), key_frame_time, shown, is_past_start = times, None, set[int](), False
    _seek_to(container, streams[0], seek_time)
    for packet in demux_packets(container, *streams):
        time, index = packet_time(packet), packet.stream.index
        if index == streams[0].index:
            is_past_start = is_past_start or _decode_time(packet) > start
            if packet.is_keyframe and time <= start + TIME_TOLERANCE:
                key_frame_time = time
        if time < end and time + (packet.duration or 0) * packet_time_base(packet) > start:
            shown.add(index)
        if (is_past_start and len(shown) == len(streams)) or (
            _decode_time(packet) >= end + MAX_INTERLEAVE_SECONDS
        ):
            break
    return key_frame_time, shown


def _seek_to(container: "InputContainer", stream: "Stream", time: Fraction | None) -> None:
    import av

    if time is not None:
        with suppress(av.FFmpegError):  # without an index, reading begins at the start
            container.seek(int(time / (stream.time_base or Fraction(1))), stream=stream)


def packet_time(packet: "Packet[Any]") -> Fraction:
    """Return the presentation time of a packet in seconds."""
    return (packet.pts or 0) * packet_time_base(packet)


def _decode_time(packet: "Packet[Any]") -> Fraction:
    return ((packet.pts if packet.dts is None else packet.dts) or 0) * packet_time_base(packet)


def packet_time_base(packet: "Packet[Any]") -> Fraction:
    """Return the unit of a packet's times in seconds."""
    return packet.time_base or Fraction(1)
