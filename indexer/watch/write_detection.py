"""Tell whether a file is whole, or somebody is still writing it."""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable
from time import monotonic, time
from typing import NamedTuple

QUIET_SECONDS = 0.8  # seconds without a change after which a file that nobody has open for writing is whole
RECHECK_SECONDS = 0.2  # seconds until a file that somebody has open is looked at again
ASSUME_COMPLETE_SECONDS = (
    10.0  # seconds after which a file is whole by its time alone, where nothing tells who has it open
)


def is_being_written(path: bytes) -> bool | None:
    """Say whether any process has a file open for writing; None where the system does not tell.

    Linux tells by refusing a lease for reading, on local disks, to the owner of the file.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)  # a writer that comes just now ends nothing
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(handle)


class FileSnapshot(NamedTuple):
    """How a file was when it was looked at; `since` when, on our clock, and `due` when to look again."""

    size: int
    mtime: int
    unchanged_since: float
    recheck_at: float


class PendingWrites:
    """Files that have changed and are not known to be whole yet."""

    def __init__(self, being_written: Callable[[bytes], bool | None] = is_being_written) -> None:
        self._being_written = being_written
        self._pending: dict[bytes, FileSnapshot] = {}
        self._completed: dict[bytes, FileSnapshot] = {}

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def next_check_at(self) -> float:
        """Return when to look at the next of them."""
        return min((seen.recheck_at for seen in self._pending.values()), default=float("inf"))

    def check(self, path: bytes) -> bool:
        """Say whether a file is whole, or is no file any more; one that is not is kept in mind."""
        now = monotonic()
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
        """Return those that have become whole, or gone; they count as whole until `forget`."""
        now = monotonic()
        due = {path: seen for path, seen in self._pending.items() if seen.recheck_at <= now}
        ripe = {path: seen for path, seen in due.items() if self.check(path)}
        self._completed.update(ripe)
        return list(ripe)

    def clear_completed(self) -> None:
        """Forget those that were ripe: they have been read."""
        self._completed.clear()

    def _remaining_seconds(self, path: bytes, status: os.stat_result, quiet_seconds: float) -> float:
        """Return for how long to wait; `still` is for how long we have seen no change."""
        writing = self._being_written(path)
        if writing:
            return RECHECK_SECONDS
        age = time() - status.st_mtime
        if age < 0 or (
            writing is None and age < ASSUME_COMPLETE_SECONDS
        ):  # another machine's clock may be the file's
            age = 0.0
        return QUIET_SECONDS - max(age, quiet_seconds)
