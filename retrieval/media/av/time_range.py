"""A span of time of an open video or sound: the packets and the frames that it takes to show it."""

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

MAX_START_PACKETS = 2_000  # packets in which the first picture is looked for
MAX_INTERLEAVE_SECONDS = 1  # seconds by which the sound may stand behind its pictures in a file


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A span of an open file: its streams, of which `lead` tells where to cut; times are the file's own."""

    container: "InputContainer"
    streams: "list[Stream]"
    main_stream: "Stream"
    origin: Fraction  # the first picture
    start: Fraction
    end: Fraction
    key_frame_time: Fraction  # the last key frame at or before the beginning
    seek_time: Fraction | None  # from where that is found; None is the start of the file

    @classmethod
    def from_container(cls, container: "InputContainer", start: float, end: float) -> "TimeRange":
        """Find the key frame from which a span can be shown."""
        sounds = list(container.streams.audio)
        lead = _main_stream(container)
        beginning = StartTimeDetector()
        for packet in islice(demux_packets(container, lead), MAX_START_PACKETS):
            beginning.add_packet(packet)
        zero = (beginning.start_time or 0) * (lead.time_base or Fraction(1))
        begin, last = (zero + Fraction(time).limit_denominator(10**6) for time in (start, end))
        back = Fraction(0)
        while True:
            seek = begin - back if begin - back > zero else None
            key = _key_frame_before(container, lead, begin, seek)
            if key is not None or seek is None:
                streams = [lead, *(sound for sound in sounds if sound.index != lead.index)]
                return cls(container, streams, lead, zero, begin, last, key or zero, seek)
            back = 2 * back + 2

    def packets(self) -> "Iterator[Packet[Any]]":
        """Yield the packets from the key frame to the end, and later ones that it takes to show those."""
        begun = False
        later: list[Packet[Any]] = []
        _seek_to(self.container, self.main_stream, self.seek_time)
        for packet in demux_packets(self.container, *self.streams):
            time = packet_time(packet)
            leads = packet.stream.index == self.main_stream.index
            begun = begun or (leads and packet.is_keyframe and time == self.key_frame_time)
            if leads and _decode_time(packet) >= self.end + MAX_INTERLEAVE_SECONDS:
                return
            if time < self.key_frame_time or (leads and not begun):
                continue
            if time < self.end:
                if leads:  # what came before is shown later, and this one needs it
                    yield from later
                    later = []
                yield packet
            elif leads:
                later.append(packet)

    def frames(self) -> "Iterator[tuple[Any, Stream]]":
        """Yield (frame, its stream) from the key frame to the end."""
        for packet in self.packets():
            for frame in decode_packet(packet.stream, packet):
                yield frame, packet.stream
        for stream in self.streams:
            for frame in decode_packet(stream, None):
                yield frame, stream


def _main_stream(container: "InputContainer") -> "Stream":
    """Return the pictures of a video, the sound where there are none that move: a cover is none."""
    try:
        return video_stream(container)
    except MediaError:
        if not container.streams.audio:
            raise
        return container.streams.audio[0]


def _key_frame_before(
    container: "InputContainer", main_stream: "Stream", time: Fraction, seek_time: Fraction | None
) -> Fraction | None:
    """Return the time of the last key frame at or before a time, looked for from another on."""
    found = None
    _seek_to(container, main_stream, seek_time)
    for packet in demux_packets(container, main_stream):
        if packet.is_keyframe and packet_time(packet) <= time:
            found = packet_time(packet)
        if _decode_time(packet) > time:
            break
    return found


def _seek_to(container: "InputContainer", main_stream: "Stream", time: Fraction | None) -> None:
    import av

    try:
        if time is None:
            container.seek(0)
        else:
            container.seek(int(time / (main_stream.time_base or Fraction(1))), stream=main_stream)
    except av.FFmpegError:  # a file without an index is read from where it is
        return


def packet_time(packet: "Packet[Any]") -> Fraction:
    """Return when a packet is shown, in seconds of its file."""
    return (packet.pts or 0) * packet_time_base(packet)


def _decode_time(packet: "Packet[Any]") -> Fraction:
    return ((packet.pts if packet.dts is None else packet.dts) or 0) * packet_time_base(packet)


def packet_time_base(packet: "Packet[Any]") -> Fraction:
    """Return the seconds of one unit of a packet's times."""
    return packet.time_base or Fraction(1)
