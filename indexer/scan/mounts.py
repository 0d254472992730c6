"""Find the mount points of drives."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MOUNTS_FILE = Path("/proc/mounts")


class Mount(NamedTuple):
    """A folder in a root with the files of another drive: its mount point, or a link to that."""

    path: bytes  # under the root; b"" is the root
    is_link: bool


def read_mounts(mounts: Path | None = None) -> Iterator[tuple[bytes, str]]:
    """Yield mount point and file system type of all mounts; none if the system has no list."""
    try:
        lines = (mounts or MOUNTS_FILE).read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        point = fields[1].replace(rb"\040", b" ").replace(rb"\011", b"\t").replace(rb"\134", b"\\")
        yield point, fields[2].decode("ascii", "replace")


def mount_points() -> frozenset[bytes]:
    """Return all mount points; in them are bind mounts, which have the device of their parent."""
    return frozenset(point for point, _ in read_mounts())


def is_mount(path: bytes, points: frozenset[bytes]) -> bool:
    """Return True if a path is a mount point, or a link to one."""
    real_path = os.path.realpath(path)
    return real_path in points or os.path.ismount(real_path)
