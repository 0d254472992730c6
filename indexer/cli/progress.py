"""What the writing commands draw on the terminal while they work."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.formatting import printable


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keep what C libraries print about broken files off the terminal; our own notes still reach it."""
    screen, shown = os.dup(2), sys.stderr
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = os.fdopen(os.dup(screen), "w", buffering=1)
    try:
        yield
    finally:
        sys.stderr.close()
        sys.stderr = shown
        os.dup2(screen, 2)
        os.close(screen)


class ProgressBar:
    """A line at the terminal: files done, rate, time left. Nothing where stderr is no terminal."""

    def __enter__(self) -> "ProgressBar":
        self.progress: Any = None
        self.task: Any = None
        self.title = ""
        return self

    def _start(self) -> None:
        """Draw the line; before there is progress, it would be in the way of what is said."""
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
        """Show that `done` of `total` files are done."""
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
        """Take the line away; the next progress draws a new one."""
        if self.progress is not None:
            self.progress.stop()
        self.progress, self.title = None, ""

    def __exit__(self, *error: object) -> None:
        self.stop()
