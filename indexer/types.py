"""Shared types: FileEntry, BatchLimits and the callback types."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Notify = Callable[[str], None]


class Progress(Protocol):
    """Receives the progress of a run."""

    def __call__(self, title: str, done: int, total: int, size: int = 0) -> None:
        """Handle that `done` of `total` files of a folder, or other items, are done.

        `total` is 0 while a scan still counts the files. `size` is in bytes, of the files that are done.
        """
        ...


def ignore_message(message: str) -> None:
    """Ignore a message."""


def no_progress(title: str, done: int, total: int, size: int = 0) -> None:
    """Ignore progress."""


class FileEntry(NamedTuple):
    """A file that a decoder can read; `path` is relative to the root, times are in nanoseconds."""

    path: bytes
    size: int
    mtime: int
    decoder: str
    sidecar_of: bytes | None = None
    ctime: int | None = None  # when the content or the status was last changed; None in a zip archive


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch ends and is committed; an interruption loses at most two of them."""

    segments: int = 256  # or files without segments
    seconds: float = 2.0  # of a smaller batch, for work that takes seconds per file


DEFAULT_BATCH_LIMITS = BatchLimits()


def file_times(status: os.stat_result) -> tuple[int, int]:
    """Return the times of the last change of a file's content, and of its content or status.

    They are in nanoseconds, and limited to the 64-bit integers of SQLite (the year 2262).
    """
    mtime, ctime = status.st_mtime_ns, status.st_ctime_ns
    return (
        mtime if -(2**63) <= mtime < 2**63 else 2**63 - 1,
        ctime if -(2**63) <= ctime < 2**63 else 2**63 - 1,
    )
