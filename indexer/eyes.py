"""Hear of what changes below a folder: from the system, or by looking again and again."""

import os
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from time import monotonic

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

Heard = tuple[int, str]  # watchfiles' kind of change, and the path


class Eyes:
    """A thread that puts what changes below a folder into a queue, until it is closed."""

    def __init__(self, folder: bytes, heard: "Queue[set[Heard]]") -> None:
        """Look at the folder from now on; raises OSError where it is not there."""
        from watchfiles._rust_notify import RustNotify

        self.why = None if (kind := file_system(folder)) not in NETWORK else f"{kind} does not say"
        path = os.fsencode(folder).decode()  # the system's word is UTF-8, or there is none
        if self.why is None:
            try:
                self._notify = RustNotify([path], False, False, 0, True, True)
            except (OSError, RuntimeError) as error:
                if isinstance(error, FileNotFoundError):
                    raise
                self.why = f"the system does not say: {error}"
        if self.why is not None:
            self.every = _pace(folder)
            self._notify = RustNotify([path], False, True, round(1000 * self.every), True, True)
        self._closed = Event()
        self._thread = Thread(target=self._listen, args=(heard,), name="clew-watch", daemon=True)
        self._thread.start()

    def _listen(self, heard: "Queue[set[Heard]]") -> None:
        while not self._closed.is_set():
            found = self._notify.watch(DEBOUNCE, STEP, TIMEOUT, self._closed)
            if isinstance(found, set):
                heard.put(found)

    def close(self) -> None:
        """Look away."""
        self._closed.set()
        self._thread.join()
        self._notify.close()


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
