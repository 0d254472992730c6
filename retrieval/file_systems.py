"""The file systems of this machine, private copies of files on network drives, and paths that are URLs."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from tempfile import TemporaryDirectory

MOUNTS_FILE = Path("/proc/mounts")
REMOTE_PATH = re.compile(r"([a-z][a-z0-9+.-]+):/+")  # of a file in an object store, such as s3://bucket/a.jpg
# Other machines can change files on these: memory that they share, locks and events are of one machine only.
NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "afs", "ncpfs", "ceph", "glusterfs", "lustre"),
        *("virtiofs", "vboxsf", "prl_fs", "vmhgfs", "davfs", "coda", "gpfs", "beegfs", "orangefs"),
        *("sshfs", "rclone", "s3fs", "gcsfuse", "gvfsd-fuse", "curlftpfs", "smbnetfs", "drvfs"),
    )
)


class RemotePath(PosixPath):
    """A path that is a URL. It cannot be opened; its text keeps the two slashes, which pathlib joins."""

    def __str__(self) -> str:
        return REMOTE_PATH.sub(r"\1://", super().__str__(), count=1)

    def as_uri(self) -> str:
        """Return the URL."""
        return str(self)


def as_path(text: str) -> Path:
    """Return a path, which may be a URL."""
    return RemotePath(text) if REMOTE_PATH.match(text) else Path(text)


def parse_mounts(text: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield mount point and file system type of each line of /proc/mounts."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 3:
            point = fields[1].replace(rb"\040", b" ").replace(rb"\011", b"\t").replace(rb"\012", b"\n")
            yield point.replace(rb"\134", b"\\"), fields[2].decode("ascii", "replace")


def read_mounts() -> Iterator[tuple[bytes, str]]:
    """Yield mount point and file system type of all mounts; none if the system has no list."""
    try:
        text = MOUNTS_FILE.read_bytes()
    except OSError:
        return
    yield from parse_mounts(text)


def file_system_type(path: bytes) -> str:
    """Return the file system type of a file or folder without `fuse.`, or "" if it is unknown."""
    return innermost_type(os.path.realpath(path), read_mounts())


def innermost_type(real_path: bytes, mounts: Iterable[tuple[bytes, str]]) -> str:
    """Return the type of the innermost mount that contains a path without links."""
    mount_point, file_system = b"", ""
    for point, type_name in mounts:
        is_below = real_path == point or real_path.startswith(point.rstrip(b"/") + b"/")
        if is_below and len(point) >= len(mount_point):  # the innermost; at the same point the last
            mount_point, file_system = point, type_name
    return file_system.removeprefix("fuse.")


def network_file_system(path: Path) -> str | None:
    """Return the type of the file system of a path if it is on a network drive, else None."""
    name = file_system_type(os.fsencode(path))
    return name if name in NETWORK_FILE_SYSTEMS else None


@contextmanager
def local_file(path: Path) -> Iterator[Path]:
    """Yield a file to map into memory: on a network drive a private copy, which is deleted at the end.

    A process that reads mapped memory is killed if another machine has deleted the file. The mapping of a
    copy outlives the copy. Raises OSError.
    """
    if network_file_system(path) is None:
        yield path
        return
    with TemporaryDirectory(prefix="clew-", ignore_cleanup_errors=True) as folder:
        yield Path(shutil.copyfile(path, Path(folder, "copy")))
