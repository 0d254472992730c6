"""ScanTarget: a folder to scan and how."""

import os
from typing import NamedTuple

from indexer.scan.rules import ScanOptions

MAX_PATH_BYTES = 5_000  # bytes, more than a path has


class ScanTarget(NamedTuple):
    """A folder to index: its root, how that is scanned, and the folder's path below it.

    `apart` are the paths below the root that are roots of their own. Of a place that is not `deep` only the
    files right in the folder are meant, and of those, if any `heads` are given, only these (see `head`).
    """

    root_id: int
    root_path: bytes
    options: ScanOptions
    subpath: bytes = b""
    nested_roots: frozenset[bytes] = frozenset()
    recursive: bool = True
    name_stems: frozenset[bytes] = frozenset()

    @property
    def folder(self) -> bytes:
        """Return the folder itself."""
        return os.path.join(self.root_path, self.subpath) if self.subpath else self.root_path

    @property
    def is_offline(self) -> bool:
        """Say whether the root is not there, or only the bare folder its drive was mounted on."""
        if not os.path.isdir(self.root_path):
            return True
        return (
            self.options.mount and not os.path.ismount(self.root_path) and is_empty_or_missing(self.root_path)
        )


def path_range(folder: bytes) -> tuple[bytes, bytes]:
    """Return what the paths below a folder are not before, and what they are before; b"" is the root."""
    return (folder + b"/", folder + b"0") if folder else (b"", b"\xff" * MAX_PATH_BYTES)


def subpath_of(path: bytes, root: bytes) -> bytes | None:
    """Return the path under the root, None where it is not below it."""
    stem = root.rstrip(b"/") + b"/"
    return path[len(stem) :] if path.startswith(stem) and path != root else None


def is_empty_or_missing(path: bytes) -> bool:
    """Say whether a folder is empty, or is not there."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return True
