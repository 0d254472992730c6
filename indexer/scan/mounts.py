"""Find the mount points of drives."""

import os
from typing import NamedTuple

from retrieval.file_systems import read_mounts


class Mount(NamedTuple):
    """A folder in a root with the files of another drive: its mount point, or a link to that."""

    path: bytes  # under the root; b"" is the root
    is_link: bool


def mount_points() -> frozenset[bytes]:
    """Return all mount points; in them are bind mounts, which have the device of their parent."""
    return frozenset(point for point, _ in read_mounts())


def is_mount(path: bytes, points: frozenset[bytes]) -> bool:
    """Return True if a path is a mount point, or a link to one."""
    real_path = os.path.realpath(path)
    return real_path in points or os.path.ismount(real_path)
