"""A span of time of an open video or sound: the packets and the frames that it takes to show it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Any

from retrieval.errors import MediaError
from retrieval.media.av.container import Beginning, decode, packets, picture_stream

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.stream import Stream

LOOKED = 2_000  # packets in which the first picture is looked for
INTERLEAVED = 1  # seconds by which the sound may stand behind its pictures in a file


@dataclass(frozen=True, slots=True)
class Span:
    """A span of an open file: its streams, of which `lead` tells where to cut; times are the file's own."""

    given: "InputContainer"
    streams: "list[Stream]"
    lead: "Stream"
    zero: Fraction  # the first picture
    begin: Fraction
    end: Fraction
    key: Fraction  # the last key frame at or before the beginning
    seek: Fraction | None  # from where that is found; None is the start of the file

    @classmethod
    def of(cls, given: "InputContainer", start: float, end: float) -> "Span":
        """Find the key frame from which a span can be shown."""
        sounds = list(given.streams.audio)
        lead = _lead(given)
        beginning = Beginning()
        for packet in islice(packets(given, lead), LOOKED):
            beginning.see(packet)
        zero = (beginning.time or 0) * (lead.time_base or Fraction(1))
        begin, last = (zero + Fraction(time).limit_denominator(10**6) for time in (start, end))
        back = Fraction(0)
        while True:
            seek = begin - back if begin - back > zero else None
            key = _key_before(given, lead, begin, seek)
            if key is not None or seek is None:
                streams = [lead, *(sound for sound in sounds if sound.index != lead.index)]
                return cls(given, streams, lead, zero, begin, last, key or zero, seek)
            back = 2 * back + 2

    def packets(self) -> "Iterator[Packet[Any]]":
        """Yield the packets from the key frame to the end, and later ones that it takes to show those."""
        begun = False
        later: list[Packet[Any]] = []
        _seek(self.given, self.lead, self.seek)
        for packet in packets(self.given, *self.streams):
            time = time_of(packet)
            leads = packet.stream.index == self.lead.index
            begun = begun or (leads and packet.is_keyframe and time == self.key)
            if leads and _decoded(packet) >= self.end + INTERLEAVED:
                return
            if time < self.key or (leads and not begun):
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
            for frame in decode(packet.stream, packet):
                yield frame, packet.stream
        for stream in self.streams:
            for frame in decode(stream, None):
                yield frame, stream


def _lead(given: "InputContainer") -> "Stream":
    """Return the pictures of a video, the sound where there are none that move: a cover is none."""
    try:
        return picture_stream(given)
    except MediaError:
        if not given.streams.audio:
            raise
        return given.streams.audio[0]


def _key_before(
    given: "InputContainer", lead: "Stream", begin: Fraction, seek: Fraction | None
) -> Fraction | None:
    """Return the time of the last key frame at or before a time, looked for from another on."""
    found = None
    _seek(given, lead, seek)
    for packet in packets(given, lead):
        if packet.is_keyframe and time_of(packet) <= begin:
            found = time_of(packet)
        if _decoded(packet) > begin:
            break
    return found


def _seek(given: "InputContainer", lead: "Stream", time: Fraction | None) -> None:
    import av

    try:
        if time is None:
            given.seek(0)
        else:
            given.seek(int(time / (lead.time_base or Fraction(1))), stream=lead)
    except av.FFmpegError:  # a file without an index is read from where it is
        return


def time_of(packet: "Packet[Any]") -> Fraction:
    """Return when a packet is shown, in seconds of its file."""
    return (packet.pts or 0) * unit_of(packet)


def _decoded(packet: "Packet[Any]") -> Fraction:
    return ((packet.pts if packet.dts is None else packet.dts) or 0) * unit_of(packet)


def unit_of(packet: "Packet[Any]") -> Fraction:
    """Return the seconds of one unit of a packet's times."""
    return packet.time_base or Fraction(1)
