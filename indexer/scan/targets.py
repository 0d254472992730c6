"""ScanTarget: a folder to scan and how."""

import os
from typing import NamedTuple

from indexer.scan.rules import Options

LONGEST = 5_000  # bytes, more than a path has


class Place(NamedTuple):
    """A folder to index: its root, how that is scanned, and the folder's path below it.

    `apart` are the paths below the root that are roots of their own. Of a place that is not `deep` only the
    files right in the folder are meant, and of those, if any `heads` are given, only these (see `head`).
    """

    root: int
    top: bytes
    options: Options
    below: bytes = b""
    apart: frozenset[bytes] = frozenset()
    deep: bool = True
    heads: frozenset[bytes] = frozenset()

    @property
    def folder(self) -> bytes:
        """Return the folder itself."""
        return os.path.join(self.top, self.below) if self.below else self.top

    @property
    def is_away(self) -> bool:
        """Say whether the root is not there, or only the bare folder its drive was mounted on."""
        if not os.path.isdir(self.top):
            return True
        return self.options.mount and not os.path.ismount(self.top) and _is_bare(self.top)


def span(folder: bytes) -> tuple[bytes, bytes]:
    """Return what the paths below a folder are not before, and what they are before; b"" is the root."""
    return (folder + b"/", folder + b"0") if folder else (b"", b"\xff" * LONGEST)


def _below(path: bytes, root: bytes) -> bytes | None:
    """Return the path under the root, None where it is not below it."""
    stem = root.rstrip(b"/") + b"/"
    return path[len(stem) :] if path.startswith(stem) and path != root else None


def _is_bare(path: bytes) -> bool:
    """Say whether a folder is empty, or is not there."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return True
