"""ScanTarget: a folder to scan and how."""

import os
from typing import NamedTuple

from indexer.scan.rules import ScanOptions

MAX_PATH_BYTES = 5_000  # longer than any path


class ScanTarget(NamedTuple):
    """A root, or a folder in a root, to scan."""

    root_id: int
    root_path: bytes
    options: ScanOptions
    subpath: bytes = b""  # of the folder under the root
    nested_roots: frozenset[bytes] = frozenset()  # other roots below, as paths under this root
    recursive: bool = True  # False: only the files directly in the folder
    known_links: tuple[tuple[bytes, bytes], ...] = ()  # real path of a folder, path of the link to it
    name_stems: frozenset[bytes] = frozenset()  # if not empty, only files with these stems (`name_stem`)

    @property
    def folder(self) -> bytes:
        """Return the absolute path of the folder."""
        return os.path.join(self.root_path, self.subpath) if self.subpath else self.root_path

    @property
    def is_offline(self) -> bool:
        """Return True if the root is missing or is the empty mount point of its drive."""
        if not os.path.isdir(self.root_path):
            return True
        return (
            self.options.mount
            and not os.path.ismount(os.path.realpath(self.root_path))
            and is_empty_or_missing(self.root_path)
        )


def path_range(folder: bytes) -> tuple[bytes, bytes]:
    """Return the bounds, low included and high not, of the paths below a folder; b"" is the root."""
    return (folder + b"/", folder + b"0") if folder else (b"", b"\xff" * MAX_PATH_BYTES)


def subpath_of(path: bytes, root: bytes) -> bytes | None:
    """Return a path relative to a root, or None if it is not below the root."""
    stem = root.rstrip(b"/") + b"/"
    return path[len(stem) :] if path.startswith(stem) and path != root else None


def dangling_links_above(target: ScanTarget) -> list[bytes]:
    """Return the folder of a target, or those above it in the root, if they are links that lead nowhere."""
    paths, path = list[bytes](), target.subpath
    while path:
        full_path = os.path.join(target.root_path, path)
        if os.path.islink(full_path) and not os.path.exists(full_path):
            paths.append(path)
        path = path.rpartition(b"/")[0]
    return paths


def is_empty_or_missing(path: bytes) -> bool:
    """Return True if a folder is empty or missing."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return True
