"""Shared types: FileEntry and the callback types."""

import os
from collections.abc import Callable
from typing import NamedTuple

Notify = Callable[[str], None]

Progress = Callable[[str, int, int], None]  # the folder, files done, files to do


def no_progress(folder: str, done: int, total: int) -> None:
    """Show no progress."""


class FileEntry(NamedTuple):
    """A file on disk that a decoder can read; `path` is under the root, `mtime` in nanoseconds."""

    path: bytes
    size: int
    mtime: int
    decoder: str
    sidecar_of: bytes | None = None


def mtime_nanoseconds(status: os.stat_result) -> int:
    """Return when a file was written, within what SQLite can hold: to the year 2262."""
    when = status.st_mtime_ns
    return when if -(2**63) <= when < 2**63 else 2**63 - 1
