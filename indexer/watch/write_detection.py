"""Tell whether a file is whole, or somebody is still writing it."""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable
from time import monotonic, time
from typing import NamedTuple

QUIET = 0.8  # seconds without a change after which a file that nobody has open for writing is whole
AGAIN = 0.2  # seconds until a file that somebody has open is looked at again
OLD = 10.0  # seconds after which a file is whole by its time alone, where nothing tells who has it open


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


class Seen(NamedTuple):
    """How a file was when it was looked at; `since` when, on our clock, and `due` when to look again."""

    size: int
    mtime: int
    since: float
    due: float


class Unfinished:
    """Files that have changed and are not known to be whole yet."""

    def __init__(self, being_written: Callable[[bytes], bool | None] = is_being_written) -> None:
        self._being_written = being_written
        self._files: dict[bytes, Seen] = {}
        self._ripe: dict[bytes, Seen] = {}

    def __len__(self) -> int:
        return len(self._files)

    @property
    def due(self) -> float:
        """Return when to look at the next of them."""
        return min((seen.due for seen in self._files.values()), default=float("inf"))

    def look(self, path: bytes) -> bool:
        """Say whether a file is whole, or is no file any more; one that is not is kept in mind."""
        now = monotonic()
        try:
            status = os.stat(path)
        except OSError:
            self._files.pop(path, None)
            return True
        before = self._files.get(path) or self._ripe.get(path)
        same = before is not None and before[:2] == (status.st_size, status.st_mtime_ns)
        since = before.since if before is not None and same else now
        wait = self._wait(path, status, now - since) if stat.S_ISREG(status.st_mode) else 0
        if wait > 0:
            self._files[path] = Seen(status.st_size, status.st_mtime_ns, since, now + wait)
            return False
        self._files.pop(path, None)
        return True

    def ripe(self) -> list[bytes]:
        """Return those that have become whole, or gone; they count as whole until `forget`."""
        now = monotonic()
        due = {path: seen for path, seen in self._files.items() if seen.due <= now}
        ripe = {path: seen for path, seen in due.items() if self.look(path)}
        self._ripe.update(ripe)
        return list(ripe)

    def forget(self) -> None:
        """Forget those that were ripe: they have been read."""
        self._ripe.clear()

    def _wait(self, path: bytes, status: os.stat_result, still: float) -> float:
        """Return for how long to wait; `still` is for how long we have seen no change."""
        writing = self._being_written(path)
        if writing:
            return AGAIN
        age = time() - status.st_mtime
        if age < 0 or (writing is None and age < OLD):  # another machine's clock may be the file's
            age = 0.0
        return QUIET - max(age, still)
