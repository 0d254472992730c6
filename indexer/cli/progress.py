"""Progress of the writing commands in a terminal."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from retrieval.formatting import format_timestamp, printable

MIN_RATE_SECONDS = 1.0  # before a rate means something


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Discard what C libraries print about broken files; `sys.stderr` still reaches the terminal."""
    terminal, previous = os.dup(2), sys.stderr
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    os.close(devnull)
    sys.stderr = os.fdopen(os.dup(terminal), "w", buffering=1)
    try:
        yield
    finally:
        sys.stderr.close()
        sys.stderr = previous
        os.dup2(terminal, 2)
        os.close(terminal)


class ProgressBar:
    """A line on stderr with the files found by a scan, or a bar with rate and remaining time.

    Hidden if stderr is not a terminal, or if `quiet`.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def __enter__(self) -> "ProgressBar":
        self.progress: Any = None
        self.task: Any = None
        self.title = ""
        self.total = 0
        return self

    def _start(self) -> None:
        if self.quiet or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}"),
        )
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.progress.start()

    def advance(self, title: str, done: int, total: int, size: int = 0) -> None:
        """Show `done` of `total` for this title, and the rate of bytes if `size` is known.

        A total of 0 is not known yet. The bar starts here rather than on entry, so that it does not mix with
        earlier notes.
        """
        if self.progress is None:
            self._start()
        if self.progress is None:
            return
        if (title, total) != (self.title, self.total):
            self.title, self.total, self.started = title, total, monotonic()
            if self.task is not None:
                self.progress.remove_task(self.task)
            name = printable(Path(title).name)
            self.task = self.progress.add_task(name, total=total or None, state="")
        seconds = monotonic() - self.started
        self.progress.update(self.task, completed=done, state=describe_progress(done, total, size, seconds))

    def stop(self) -> None:
        """Remove the bar; the next call of `advance` starts a new one."""
        if self.progress is not None:
            self.progress.stop()
        self.progress, self.task, self.title, self.total = None, None, "", 0

    def __exit__(self, *error: object) -> None:
        self.stop()


def describe_progress(done: int, total: int, size: int, seconds: float) -> str:
    """Return counts, rates and the remaining time, such as "120/400  35/s  12 MB/s  0:08 left"."""
    if not total:
        return f"{done:,} files found" if done else "looking for files"
    parts = [f"{done:,}/{total:,}"]
    if done and seconds >= MIN_RATE_SECONDS:
        parts.append(f"{done / seconds:,.0f}/s" if done >= seconds else f"{seconds / done:,.1f} s each")
        if size:
            parts.append(f"{size / seconds / 1e6:,.1f} MB/s")
        parts.append(f"{format_timestamp((total - done) * seconds / done).partition('.')[0]} left")
    return "  ".join(parts)
