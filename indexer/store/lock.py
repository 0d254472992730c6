"""Lock a library, so that it has one writer at a time, and write the progress of its run for readers."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from math import inf
from pathlib import Path
from time import monotonic, time
from typing import Self

from filelock import FileLock, Timeout

from indexer.types import Progress
from retrieval.catalog.schema import LOCK_FILE, PROGRESS_FILE
from retrieval.errors import LibraryBusy, LibraryError

WRITE_SECONDS = 1.0  # between two writes of the progress


@contextmanager
def library_lock(folder: Path) -> Iterator["ProgressFile"]:
    """Hold the lock of a library, and yield the file for the progress of the run.

    The name of the holder is written for other processes. Raises LibraryError and LibraryBusy.
    """
    with ExitStack() as held:
        held.enter_context(unnamed_lock(folder))
        holder, now = _holder_file(folder), datetime.now().isoformat(" ", "seconds")
        try:
            held.callback(holder.unlink, missing_ok=True)
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
            progress = held.enter_context(ProgressFile(folder))
        except OSError as error:
            raise _write_error(folder, error) from error
        yield progress


@contextmanager
def unnamed_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a library that may be renamed meanwhile: nothing is deleted by its path at the end.

    The system releases the lock even after kill -9. Raises LibraryError and LibraryBusy.
    """
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        try:
            name = _holder_file(folder).read_text()
        except FileNotFoundError:
            name = "another process"
        raise LibraryBusy(folder, name.strip()) from error
    except (OSError, NotImplementedError) as error:
        raise _write_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _holder_file(folder: Path) -> Path:
    """Return the file with the name of the holder; opening the lock file itself would truncate it."""
    return folder / f"{LOCK_FILE}ed-by"


def _write_error(folder: Path, error: Exception) -> LibraryError:
    return LibraryError(f"Cannot write the library at {folder}: {error}.")


class ProgressFile:
    """The progress of the run that holds the lock, which other processes read; it may be lost in a crash."""

    def __init__(self, folder: Path) -> None:
        self._path, self._new_path = folder / PROGRESS_FILE, folder / f"{PROGRESS_FILE}.new"
        self._step: tuple[str, bool] | None = None  # title, and True while files are counted
        self._begun, self._written = 0.0, -inf

    def __enter__(self) -> Self:
        self._delete()  # of a run that was killed
        return self

    def __exit__(self, *error: object) -> None:
        self._delete()

    def shared(self, progress: Progress) -> Progress:
        """Return a receiver that writes the progress and passes it on."""

        def report(title: str, done: int, total: int, size: int = 0) -> None:
            self._write(title, done, total)
            progress(title, done, total, *([size] if size else []))

        return report

    def _write(self, title: str, done: int, total: int) -> None:
        """Replace the file, at most once in WRITE_SECONDS."""
        now = monotonic()
        if self._step != (title, total == 0):
            self._step, self._begun = (title, total == 0), now
        if now < self._written + WRITE_SECONDS:
            return
        self._written = now
        values = {
            **{"process": os.getpid(), "machine": socket.gethostname(), "time": time()},
            **{"title": title, "done": done, "total": total, "seconds": now - self._begun},
        }
        with suppress(OSError):  # a full disk must not end the run
            self._new_path.write_text(json.dumps(values))
            self._new_path.replace(self._path)

    def _delete(self) -> None:
        for path in (self._path, self._new_path):
            path.unlink(missing_ok=True)
