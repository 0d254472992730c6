"""Detect files that are still being written."""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable
from time import monotonic, time
from typing import NamedTuple

from indexer.watch.options import DEFAULT_WATCH_OPTIONS, WatchOptions

Clock = Callable[[], float]  # seconds


def is_being_written(path: bytes) -> bool | None:
    """Return True if a process has a file open for writing, or None if the system does not report it.

    Linux refuses a read lease on such a file. Leases need a local disk and the owner of the file.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.fcntl(
            handle, fcntl.F_SETSIG, signal.SIGURG
        )  # the default signal for a broken lease would end the process
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(handle)


class FileSnapshot(NamedTuple):
    """Size and time of a file, and monotonic times of its last change and of the next check."""

    size: int
    mtime: int
    unchanged_since: float
    recheck_at: float


class PendingWrites:
    """Changed files that may still be written."""

    def __init__(
        self,
        being_written: Callable[[bytes], bool | None] = is_being_written,
        *,
        options: WatchOptions = DEFAULT_WATCH_OPTIONS,
        clock: Clock = monotonic,
        wall_clock: Clock = time,
    ) -> None:
        """Use a monotonic clock for waiting; a file's age is its time subtracted from the wall clock."""
        self._being_written, self._options = being_written, options
        self._clock, self._wall_clock = clock, wall_clock
        self._pending: dict[bytes, FileSnapshot] = {}
        self._completed: dict[bytes, FileSnapshot] = {}

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def next_check_at(self) -> float:
        """Return the time of the next check; infinite if no file is pending."""
        return min((seen.recheck_at for seen in self._pending.values()), default=float("inf"))

    def check(self, path: bytes) -> bool:
        """Return True if a file is complete or missing; an incomplete file becomes pending."""
        now = self._clock()
        try:
            status = os.stat(path)
        except OSError:
            self._pending.pop(path, None)
            return True
        before = self._pending.get(path) or self._completed.get(path)
        same = before is not None and before[:2] == (status.st_size, status.st_mtime_ns)
        since = before.unchanged_since if before is not None and same else now
        wait = self._remaining_seconds(path, status, now - since) if stat.S_ISREG(status.st_mode) else 0
        if wait > 0:
            self._pending[path] = FileSnapshot(status.st_size, status.st_mtime_ns, since, now + wait)
            return False
        self._pending.pop(path, None)
        return True

    def completed(self) -> list[bytes]:
        """Return pending files that are complete or missing now; they stay so until `clear_completed`."""
        now = self._clock()
        due = {path: seen for path, seen in self._pending.items() if seen.recheck_at <= now}
        completed = {path: seen for path, seen in due.items() if self.check(path)}
        self._completed.update(completed)
        return list(completed)

    def clear_completed(self) -> None:
        """Forget the completed files, which have been read."""
        self._completed.clear()

    def _remaining_seconds(self, path: bytes, status: os.stat_result, quiet_seconds: float) -> float:
        """Return the seconds until a file counts as complete, given the seconds without a change."""
        writing = self._being_written(path)
        if writing:
            return self._options.recheck_seconds
        age = self._wall_clock() - status.st_mtime
        if age < 0 or (writing is None and age < self._options.assume_complete_seconds):
            age = 0.0  # its time may be from the clock of another machine
        return self._options.quiet_seconds - max(age, quiet_seconds)
