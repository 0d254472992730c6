"""Progress of the writing commands in a terminal."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from retrieval.formatting import printable

SHOW_CURSOR = "\x1b[?25h"


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


@contextmanager
def second_interrupt_ends() -> Iterator[None]:
    """Raise KeyboardInterrupt on the first Ctrl-C, and end the process at once on the second.

    A library stays valid wherever its writer ends.
    """

    def raise_first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda number, frame: end_process())
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, raise_first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def exit_after_interrupt() -> None:
    """End the process with the exit code of an interrupt; files in hand hold it up no longer."""
    if any(thread.name.startswith("clew-") for thread in threading.enumerate()):
        end_process()
    raise SystemExit(130)


def end_process() -> None:
    """End the process without waiting for its threads, with the exit code of an interrupt."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{SHOW_CURSOR}\n")  # a progress bar hides it
        sys.stderr.flush()
    os._exit(130)


class ProgressBar:
    """A progress bar with rate and remaining time on stderr; hidden if stderr is not a terminal."""

    def __enter__(self) -> "ProgressBar":
        self.progress: Any = None
        self.task: Any = None
        self.title = ""
        return self

    def _start(self) -> None:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("left"),
            )
            self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self.progress.start()

    def advance(self, title: str, done: int, total: int) -> None:
        """Show `done` of `total` for this title.

        The bar starts here rather than on entry, so that it does not mix with earlier notes.
        """
        if self.progress is None:
            self._start()
        if self.progress is None:
            return
        if title != self.title:
            self.title = title
            self.task = self.progress.add_task(printable(Path(title).name), total=total, rate="")
        speed = self.progress.tasks[-1].speed
        self.progress.update(self.task, completed=done, rate=f"{speed:,.0f}/s" if speed else "")

    def stop(self) -> None:
        """Remove the bar; the next call of `advance` starts a new one."""
        if self.progress is not None:
            self.progress.stop()
        self.progress, self.title = None, ""

    def __exit__(self, *error: object) -> None:
        self.stop()
