"""Hear of what changes below a folder: from the system, or by looking again and again."""

import os
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

DEBOUNCE, STEP, TIMEOUT = 300, 50, 1_000  # milliseconds
LEAST, MOST, SHARE = 1.0, 60.0, 20  # seconds between two looks: twenty times what one takes
MOUNTS = Path("/proc/mounts")
NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "afs", "ncpfs", "ceph", "glusterfs", "lustre"),
        *("virtiofs", "vboxsf", "prl_fs", "vmhgfs", "davfs", "coda", "gpfs", "beegfs", "orangefs"),
        *("sshfs", "rclone", "s3fs", "gcsfuse", "gvfsd-fuse", "curlftpfs", "smbnetfs", "drvfs"),
    )
)

ADDED = 1  # watchfiles' word for a new path
AFTER = 1.0  # seconds until a watch that broke is begun again

Heard = tuple[int, str]  # watchfiles' kind of change, and the path


class Eyes:
    """A thread that puts what changes below a folder into a queue, until it is closed."""

    def __init__(self, folder: bytes, heard: "Queue[set[Heard]]") -> None:
        """Look at the folder from now on; raises OSError where it is not there, ValueError by its name."""
        self.folder = folder.decode()  # watchfiles takes no name that is no UTF-8
        kind = file_system(folder)
        self.why: str | None = f"{kind} does not say" if kind in NETWORK else None
        self.every = 0.0
        self._heard, self._closed = heard, Event()
        if self.why is None:
            try:
                self._notify = self._begin()
            except FileNotFoundError:
                raise
            except (OSError, RuntimeError) as error:
                self.why = f"the system does not say ({error})"
        if self.why is not None:
            self.every = _pace(folder)
            self._notify = self._begin()
        self._thread = Thread(target=self._listen, name="clew-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look away."""
        self._closed.set()
        self._thread.join()
        self._notify.close()

    def _begin(self) -> "RustNotify":
        from watchfiles._rust_notify import RustNotify  # heavy: only to watch

        return RustNotify([self.folder], False, bool(self.every), round(1000 * self.every), True, True)

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                found = self._notify.watch(DEBOUNCE, STEP, TIMEOUT, self._closed)
            except RuntimeError:  # of a name that is no UTF-8, from then on of everything
                self._closed.wait(AFTER)
                self._notify.close()
                try:
                    self._notify = self._begin()
                except (OSError, RuntimeError):  # the folder has gone, which is minded elsewhere
                    return
                found = {(ADDED, self.folder)}  # what was not heard is found by a look at all of it
            if isinstance(found, set):
                self._heard.put(found)


def file_system(folder: bytes, mounts: Path = MOUNTS) -> str:
    """Return the type of the file system a folder is on, without `fuse.`; empty where nothing tells."""
    real, found = os.path.realpath(folder), (b"", "")
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split()
        point = fields[1].replace(rb"\040", b" ").replace(rb"\011", b"\t").replace(rb"\134", b"\\")
        inside = real == point or real.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= len(found[0]):  # the innermost, of several on one point the last
            found = point, fields[2].decode("ascii", "replace")
    return found[1].removeprefix("fuse.")


def _pace(folder: bytes) -> float:
    """Return how often to look at a folder, so that looking takes a twentieth of the time."""
    begun = monotonic()
    for top, _, names in os.walk(folder):
        for name in names:
            os.path.lexists(os.path.join(top, name))
    return min(MOST, max(LEAST, SHARE * (monotonic() - begun)))
