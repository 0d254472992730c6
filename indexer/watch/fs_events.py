"""Hear of what changes below a folder: from the system, or by looking again and again."""

import os
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

DEBOUNCE_MS, STEP_MS, TIMEOUT_MS = 300, 50, 1_000  # milliseconds
MIN_POLL_SECONDS, MAX_POLL_SECONDS, POLL_COST_FACTOR = (
    1.0,
    60.0,
    20,
)  # seconds between two looks: twenty times what one takes
MOUNTS_FILE = Path("/proc/mounts")
NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "afs", "ncpfs", "ceph", "glusterfs", "lustre"),
        *("virtiofs", "vboxsf", "prl_fs", "vmhgfs", "davfs", "coda", "gpfs", "beegfs", "orangefs"),
        *("sshfs", "rclone", "s3fs", "gcsfuse", "gvfsd-fuse", "curlftpfs", "smbnetfs", "drvfs"),
    )
)

EVENT_ADDED = 1  # watchfiles' word for a new path
RESTART_SECONDS = 1.0  # seconds until a watch that broke is begun again

FileEvent = tuple[int, str]  # watchfiles' kind of change, and the path


class FolderWatcher:
    """A thread that puts what changes below a folder into a queue, until it is closed."""

    def __init__(self, folder: bytes, events: "Queue[set[FileEvent]]") -> None:
        """Look at the folder from now on; raises OSError where it is not there, ValueError by its name."""
        self.folder = folder.decode()  # watchfiles takes no name that is no UTF-8
        kind = file_system_type(folder)
        self.polling_reason: str | None = f"{kind} does not say" if kind in NETWORK_FILE_SYSTEMS else None
        self.poll_seconds = 0.0
        self._events, self._closed = events, Event()
        if self.polling_reason is None:
            try:
                self._backend = self._start_backend()
            except FileNotFoundError:
                raise
            except (OSError, RuntimeError) as error:
                self.polling_reason = f"the system does not say ({error})"
        if self.polling_reason is not None:
            self.poll_seconds = _polling_interval(folder)
            self._backend = self._start_backend()
        self._thread = Thread(target=self._forward_events, name="clew-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look away."""
        self._closed.set()
        self._thread.join()
        self._backend.close()

    def _start_backend(self) -> "RustNotify":
        from watchfiles._rust_notify import RustNotify  # heavy: only to watch

        return RustNotify(
            [self.folder], False, bool(self.poll_seconds), round(1000 * self.poll_seconds), True, True
        )

    def _forward_events(self) -> None:
        while not self._closed.is_set():
            try:
                found = self._backend.watch(DEBOUNCE_MS, STEP_MS, TIMEOUT_MS, self._closed)
            except RuntimeError:  # of a name that is no UTF-8, from then on of everything
                self._closed.wait(RESTART_SECONDS)
                self._backend.close()
                try:
                    self._backend = self._start_backend()
                except (OSError, RuntimeError):  # the folder has gone, which is minded elsewhere
                    return
                found = {(EVENT_ADDED, self.folder)}  # what was not heard is found by a look at all of it
            if isinstance(found, set):
                self._events.put(found)


def file_system_type(folder: bytes, mounts: Path = MOUNTS_FILE) -> str:
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


def _polling_interval(folder: bytes) -> float:
    """Return how often to look at a folder, so that looking takes a twentieth of the time."""
    begun = monotonic()
    for top, _, names in os.walk(folder):
        for name in names:
            os.path.lexists(os.path.join(top, name))
    return min(MAX_POLL_SECONDS, max(MIN_POLL_SECONDS, POLL_COST_FACTOR * (monotonic() - begun)))
