"""The packets of a video: when each is shown and what it weighs, which tells much before it is decoded."""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from fractions import Fraction

from indexer.decode.text.subtitle_cues import Cue


def _int64_array() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class PacketIndex:
    """The packets of a video, a row each, in the order of decoding; times are in units of its stream.

    `first` is the time of the first picture, `end` that of the end of the last, `unit` the seconds of one
    unit of time.
    """

    time_base: Fraction
    times: "array[int]" = field(default_factory=_int64_array)
    sizes: "array[int]" = field(default_factory=_int64_array)
    key_rows: "array[int]" = field(default_factory=_int64_array)  # rows of key frames
    start_time: int = 0
    end_time: int = 0
    frame_pixels: int = 0  # of a frame
    cues: list[Cue] = field(default_factory=list)  # of its subtitles, in seconds of the file
    _display_times: "array[int]" = field(default_factory=_int64_array)

    def to_seconds(self, time: int) -> float:
        """Return how long after the first picture this time is."""
        return round(float(max(0, time - self.start_time) * self.time_base), 6)

    def to_time(self, seconds: float) -> int:
        """Return the time that is so many seconds after the first picture."""
        return self.start_time + round(Fraction(seconds) / self.time_base)

    @property
    def display_times(self) -> "array[int]":
        """Return the times of all frames, ascending."""
        if not self._display_times:
            self._display_times = array("q", sorted(self.times))
        return self._display_times

    def display_times_between(self, after: int, before: int) -> "array[int]":
        """Return the times of the frames that are shown after one time and before another."""
        return self.display_times[
            bisect_right(self.display_times, after) : bisect_left(self.display_times, before)
        ]

    def is_key_frame(self, row: int) -> bool:
        """Say whether this row is a key frame."""
        at = bisect_left(self.key_rows, row)
        return at < len(self.key_rows) and self.key_rows[at] == row

    def decode_rows(self, begin: int, end: int | None) -> tuple[int, int, int]:
        """Return the rows of the key frame at or before a time, and of that at or after another.

        The third is that of the last packet of what is shown before the second time: it may come behind.
        """
        keys, end_of_all = self.key_rows or array("q", [0]), len(self.times) - 1
        at = bisect_right(keys, begin, key=lambda row: self.times[row])
        first = keys[max(0, at - 1)]
        at = len(keys) if end is None else bisect_left(keys, end, key=lambda row: self.times[row])
        key = last = max(first, keys[at]) if at < len(keys) else end_of_all
        if end is not None:
            last = self.last_needed_packet(end, last, end_of_all)
        return first, key, last

    def last_needed_packet(self, time: int, first: int, last: int) -> int:
        """Return the row, of those from first to last, with which all that is shown before a time has come.

        Frames that are shown before another one may come behind it.
        """
        row = first
        while row < last and self.times[row] < time:
            row += 1
        while row < last and self.times[row + 1] < time:
            row += 1
        return row

    def reference_frames(self, first: int, last: int) -> list[int]:
        """Return the rows, of those from first to last, of frames shown after all that come before them.

        The others are B frames, which are coded by what is before them and by what is behind.
        """
        latest, rows = -(2**63), []
        for row in range(first, last + 1):
            if self.times[row] > latest:
                latest = self.times[row]
                rows.append(row)
        return rows
