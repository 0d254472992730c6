"""Correct discontinuities of timestamps, so that one clock runs through a file.

Joined recordings (`cat a.ts b.ts`, VOB files of a DVD) restart their timestamps at each part; FFmpeg takes
some restarts for a wrap of the 33-bit counter, which is a jump of 26.5 hours.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream

MAX_FORWARD_SECONDS = 10  # a longer step is a jump: FFmpeg's dts_delta_threshold
MAX_USUAL_SECONDS = 1  # a longer step is compared with the packets after it
MAX_BACKWARD_SECONDS = Fraction(1, 10)  # as FFmpeg tolerates
MAX_ESTIMATE_SECONDS = 2  # by which decoding times may go back in formats that do not store them
MAX_INTERLEAVE_SECONDS = 10  # by which a stream may follow another one in a file
FOLLOWING_PACKETS = 3  # that tell a jump from a packet with a wrong timestamp
MAX_LOOKAHEAD_PACKETS = 500


@dataclass(slots=True, eq=False)
class _Track:
    """The state of an audio or video stream. Times are decoding times of the file, in units."""

    index: int
    unit: Fraction  # seconds
    max_backward: int
    max_usual: float
    max_forward: float
    part: int = 0  # of the file, that the stream has reached
    shift: int = 0  # added to the times of that part
    last: int | None = None  # of the last packet
    interval: int = 1  # between the last two packets
    delay: int = 0  # from the decoding of the last packet to its display

    @property
    def expected(self) -> int:
        """The time of the next packet."""
        return (self.last or 0) + self.interval

    @property
    def clock(self) -> Fraction:
        """The corrected time of the next packet, in seconds."""
        return (self.expected + self.shift) * self.unit


class ContinuousClock:
    """Corrects the timestamps of the packets of a file, in place and in the order of the file.

    Give it all audio and video streams, so that each reader gets the same times whichever streams it uses.
    At a jump a part begins, which continues at the latest time of all streams. The other streams follow into
    that part at their own jump, so that sound and picture stay synchronous.
    """

    def __init__(self, streams: "Sequence[Stream]", *, is_broadcast: bool) -> None:
        """Set up the streams.

        Formats other than those of broadcasts have gaps of any length, and do not store decoding times.
        """
        self._tracks = {stream.index: _new_track(stream, is_broadcast) for stream in streams}
        self._offsets = [Fraction(0)]  # of each part, in seconds
        self._ahead: deque[Packet[Any]] = deque()

    def correct(self, packets: "Iterator[Packet[Any]]") -> "Iterator[Packet[Any]]":
        """Yield all packets, with corrected timestamps.

        Packets without a decoding time, and those of other streams such as subtitles, belong to the part of
        the packet after them.
        """
        held: list[Packet[Any]] = []
        while (packet := self._ahead.popleft() if self._ahead else next(packets, None)) is not None:
            track = self._tracks.get(packet.stream.index)
            if track is not None and packet.dts is not None:
                self._correct_packet(packet, track, packet.dts, packets)
                yield from self._shifted(held)
                held = []
                yield packet
            else:
                held.append(packet)
                if len(held) == MAX_LOOKAHEAD_PACKETS:
                    yield from self._shifted(held)
                    held = []
        yield from self._shifted(held)

    def _correct_packet(
        self, packet: "Packet[Any]", track: _Track, time: int, packets: "Iterator[Packet[Any]]"
    ) -> None:
        if track.last is None:
            self._enter_part(track, self._nearest_part(track, time, 0) or 0)
        elif not -track.max_backward <= time - track.last <= track.max_usual:
            following = self._following_times(track, packets)
            if self._is_wrong(track, time, following):
                _shift(packet, track.expected - time)
                time = track.expected
            elif not self._is_gap(track, time):
                part = self._nearest_part(track, time, track.part + 1)
                self._enter_part(track, self._new_part(track, time) if part is None else part)
        elif time > track.last:
            track.interval = time - track.last
        if track.part + 1 < len(self._offsets) and self._distance(track, time, track.part) > (
            MAX_INTERLEAVE_SECONDS
        ):  # the stream was interrupted, and goes on in a later part
            part = self._nearest_part(track, time, track.part + 1)
            self._enter_part(track, track.part if part is None else part)
        track.last = time
        delay = 0 if packet.pts is None else packet.pts - time
        if -track.max_backward <= delay <= track.max_forward:
            track.delay = delay
        else:  # FFmpeg takes it from the next part
            packet.pts = time + track.delay
        if track.shift:
            _shift(packet, track.shift)

    def _is_wrong(self, track: _Track, time: int, following: Sequence[int]) -> bool:
        """Return True if the packets after a step continue from before it."""
        if not following:
            return not self._is_gap(track, time)
        interval = min((each - last for last, each in pairwise(following) if each > last), default=0)
        middle = (time + track.expected) / 2
        sides = [each - number * interval > middle for number, each in enumerate(following, 1)]
        return (time < middle) in sides

    def _is_gap(self, track: _Track, time: int) -> bool:
        """Return True if a step is a gap in a stream, not a jump of the clock."""
        step = time - (track.last or 0)
        return step > 0 and (
            step <= track.max_forward or self._distance(track, time, track.part) <= MAX_INTERLEAVE_SECONDS
        )

    def _following_times(self, track: _Track, packets: "Iterator[Packet[Any]]") -> list[int]:
        """Return the times of the next packets of a stream, which stay in the queue."""
        times: list[int] = []
        position = 0
        while len(times) < FOLLOWING_PACKETS and position < MAX_LOOKAHEAD_PACKETS:
            if position == len(self._ahead):
                if (packet := next(packets, None)) is None:
                    break
                self._ahead.append(packet)
            packet = self._ahead[position]
            position += 1
            if packet.stream.index == track.index and packet.dts is not None:
                times.append(packet.dts)
        return times

    def _distance(self, track: _Track, time: int, part: int) -> float:
        """Return the seconds between a time in a part and the other streams; infinity without them."""
        clocks = [
            other.clock for other in self._tracks.values() if other is not track and other.last is not None
        ]
        return float(abs(time * track.unit + self._offsets[part] - max(clocks))) if clocks else inf

    def _nearest_part(self, track: _Track, time: int, first: int) -> int | None:
        """Return the part, from `first` on, in which a time is near the other streams, or None."""
        distances = {part: self._distance(track, time, part) for part in range(first, len(self._offsets))}
        nearest = min(distances, key=distances.__getitem__, default=None)
        return None if nearest is None or distances[nearest] > MAX_INTERLEAVE_SECONDS else nearest

    def _new_part(self, track: _Track, time: int) -> int:
        """Add a part, in which a time is the latest time of all streams, and return its number."""
        end = max(other.clock for other in self._tracks.values() if other.last is not None)
        self._offsets.append(end - time * track.unit)
        return len(self._offsets) - 1

    def _enter_part(self, track: _Track, part: int) -> None:
        track.part, track.shift = part, round(self._offsets[part] / track.unit)

    def _shifted(self, packets: "Sequence[Packet[Any]]") -> "Sequence[Packet[Any]]":
        """Return packets, shifted to the latest part."""
        for packet in packets:
            if self._offsets[-1] and packet.time_base:
                _shift(packet, round(self._offsets[-1] / packet.time_base))
        return packets


def _new_track(stream: "Stream", is_broadcast: bool) -> _Track:
    unit = stream.time_base or Fraction(1)
    if not is_broadcast:
        return _Track(stream.index, unit, round(MAX_ESTIMATE_SECONDS / unit), inf, inf)
    limits = (MAX_BACKWARD_SECONDS, MAX_USUAL_SECONDS, MAX_FORWARD_SECONDS)
    return _Track(stream.index, unit, *(round(limit / unit) for limit in limits))


def _shift(packet: "Packet[Any]", shift: int) -> None:
    if packet.dts is not None:
        packet.dts += shift
    if packet.pts is not None:
        packet.pts += shift
