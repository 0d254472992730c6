"""The packet index of a video: times, sizes and key frames, known without decoding."""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from indexer.decode.text.subtitle_cues import Cue

if TYPE_CHECKING:
    from av import Packet


def _int64_array() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class PacketIndex:
    """The packets of a video stream, one row each, in decoding order.

    Times are integers in units of `time_base`, as in the stream.
    """

    time_base: Fraction  # seconds per unit of time
    times: "array[int]" = field(default_factory=_int64_array)  # display time of each row
    sizes: "array[int]" = field(default_factory=_int64_array)  # bytes of each row
    key_rows: "array[int]" = field(default_factory=_int64_array)  # rows of key frames, ascending
    zero: int = 0  # the time from which seconds count, the same in all streams of the file
    start_time: int = 0  # of the first frame that is shown
    end_time: int = 0  # when the last frame ends
    frame_pixels: int = 0  # width x height
    cues: dict[int, list[Cue]] = field(default_factory=dict)  # of each text track, in seconds of the file
    _display_times: "array[int]" = field(default_factory=_int64_array)

    def add_packet(self, packet: "Packet[Any]") -> int:
        """Append a packet and return its display time."""
        time = packet.pts or 0
        if packet.is_keyframe:
            self.key_rows.append(len(self.times))
        self.times.append(time)
        self.sizes.append(packet.size)
        self.end_time = max(self.end_time, time + (packet.duration or 0))
        return time

    def set_start_time(self, detected: int | None) -> None:
        """Set the time of the first frame; None stands for the smallest time of any packet."""
        self.start_time = min(self.times, default=0) if detected is None else detected

    def to_seconds(self, time: int) -> float:
        """Return the seconds from the zero of the file to a time, at least 0."""
        return round(float(max(0, time - self.zero) * self.time_base), 6)

    def to_time(self, seconds: float) -> int:
        """Return the time that is this many seconds after the zero of the file."""
        return self.zero + round(Fraction(seconds) / self.time_base)

    @property
    def display_times(self) -> "array[int]":
        """The times of all frames, ascending."""
        if not self._display_times:
            self._display_times = array("q", sorted(self.times))
        return self._display_times

    def display_times_between(self, after: int, before: int) -> "array[int]":
        """Return the frame times between two times, both excluded, ascending."""
        return self.display_times[
            bisect_right(self.display_times, after) : bisect_left(self.display_times, before)
        ]

    def is_key_frame(self, row: int) -> bool:
        """Return True if the row is a key frame."""
        at = bisect_left(self.key_rows, row)
        return at < len(self.key_rows) and self.key_rows[at] == row

    def decode_rows(self, begin: int, end: int | None) -> tuple[int, int, int]:
        """Return the rows that must be decoded to show the frames from `begin` to `end`.

        These are the last key frame at or before `begin`, the first key frame at or after `end` (the last
        row if none follows or `end` is None), and the last row needed for frames before `end`. Because of
        B frames the last one may come after the second key frame.
        """
        keys, last_row = self.key_rows or array("q", [0]), len(self.times) - 1
        at = bisect_right(keys, begin, key=lambda row: self.times[row])
        first = keys[max(0, at - 1)]
        at = len(keys) if end is None else bisect_left(keys, end, key=lambda row: self.times[row])
        next_key = last = max(first, keys[at]) if at < len(keys) else last_row
        if end is not None:
            last = self.last_needed_packet(end, last, last_row)
        return first, next_key, last

    def last_needed_packet(self, time: int, first: int, last: int) -> int:
        """Return the row in `first`..`last` after which all frames shown before a time are decoded.

        It may come after the frame of that time, because B frames follow the frames they refer to.
        """
        row = first
        while row < last and self.times[row] < time:
            row += 1
        while row < last and self.times[row + 1] < time:
            row += 1
        return row

    def reference_frames(self, first: int, last: int) -> list[int]:
        """Return the rows in `first`..`last`, without those of B frames.

        A frame counts as a B frame if it is shown before a frame that is decoded earlier.
        """
        latest, rows = -(2**63), []
        for row in range(first, last + 1):
            if self.times[row] > latest:
                latest = self.times[row]
                rows.append(row)
        return rows
