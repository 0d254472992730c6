"""Keep a library up to date while files come and go.

Each look is the scan that `clew index` does, of the folders where something was heard; the library is held
only meanwhile, and the model stays loaded.
"""

import sqlite3
from collections.abc import Callable, Sequence
from os import fsencode
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

from indexer.models import resolve
from indexer.operations.index import bring, chooser
from indexer.operations.pipeline import Run
from indexer.operations.report import Report
from indexer.store.location import absolute, existing, placed, several
from indexer.store.writer import Writer
from indexer.types import Found, Progress, Say, silent
from indexer.watch.change_log import Change, Journal
from indexer.watch.scheduler import Attention, Spot, places
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryBusy
from retrieval.media.archives.archive import archive_of
from retrieval.types import Space

EVERY = 600.0  # seconds between two scans of everything, for what was not heard of
BUSY, TROUBLE = 1.0, 10.0  # seconds until the next attempt
FINISH = 60.0  # seconds between two looks at whether the index is due

Choose = Callable[[Space | None], Embedder]
First = Callable[[Writer], Report]


def watch_library(
    folders: str | Path | Sequence[str | Path] = (),
    *,
    library: str | Path | None = None,
    every: float = EVERY,
    model: str | None = None,
    arch: str | None = None,
    device: str | None = None,
    embedder: Embedder | None = None,
    tell: Callable[[Change], None] = lambda change: None,
    begun: Callable[[Report], None] = lambda report: None,
    progress: Progress = silent,
    say: Say = resolve.silent,
    stop: Event | None = None,
    **how: Any,
) -> None:
    """Index these folders, or all that the library has, and what changes there from then on, until `stop`.

    `begun` gets the report of the first scan; then `tell` gets each change once it is committed, and can be
    found. `every` is how many seconds lie between two scans of everything. What is being written is not
    read before it is whole. The rest, and `how`, is as in `update_library`. Ctrl-C raises
    KeyboardInterrupt. Raises LibraryError.
    """
    given = [Path(folder) for folder in several(folders)]
    choose = Loaded(chooser(embedder, model, arch, device, say), chooser(embedder, None, None, device, say))
    place = placed(library)
    attention = Attention([absolute(folder) for folder in given], fsencode(place.absolute()), every, say)
    watch = Watch(place, choose, attention, tell)

    def first(writer: Writer) -> Report:
        return bring(writer, given, progress=progress, ready=watch.is_whole, **how)

    stop = stop or Event()
    try:
        report = watch.begin(first, stop)
        if report is not None:
            begun(report)
            if report.interrupted and not stop.is_set():
                raise KeyboardInterrupt
        watch.go_on(stop)
    finally:
        attention.close()


class Loaded:
    """Find the embedder of the space that answers, which stays loaded until another space does."""

    def __init__(self, first: Choose, later: Choose) -> None:
        self._first, self._later = first, later
        self.embedder: Embedder | None = None

    def __call__(self, space: Space | None) -> Embedder:
        """Return the embedder."""
        if self.embedder is None:
            self.embedder = self._first(space)
        elif space is not None and space.fingerprint != self.embedder.fingerprint:  # `clew switch`
            self.embedder = self._later(space)
        return self.embedder


class Watch:
    """Write what is new at the spots that are due, and tell of it."""

    def __init__(
        self, library: Path, choose: Loaded, attention: Attention, tell: Callable[[Change], None]
    ) -> None:
        self.library, self.choose, self.attention, self.tell = library, choose, attention, tell
        self._finish_at = float("inf")

    def begin(self, first: First, stop: Event) -> Report | None:
        """Scan everything once, with open eyes, and make ready for what comes; None if told to stop."""
        while not stop.is_set():
            try:
                with Writer(self.library, self.choose) as writer:
                    self.attention.learn(writer.roots)
                    report = first(writer)
                    self.attention.learn(writer.roots)
            except LibraryBusy as error:
                self.attention.say_once(f"{error} Trying again.")
                stop.wait(BUSY)
            else:
                if not report.interrupted:
                    _warm(self.choose.embedder)
                return report
        return None

    def go_on(self, stop: Event) -> None:
        """Follow what changes until told to stop."""
        while not stop.is_set():
            self.attention.wait(self._finish_at)
            if (spots := self.attention.due()) or self._finish_at <= monotonic():
                self._bring(spots)

    def is_whole(self, top: bytes, found: Found) -> bool:
        """Say whether a new file is whole; one that is not is read when it is."""
        path = top.rstrip(b"/") + b"/" + found.path
        archive = archive_of(path)
        return self.attention.unfinished.look(path if archive is None else archive[0])

    def _bring(self, spots: Sequence[Spot]) -> None:
        """Look at these spots, write, and tell of it; what fails for the moment is tried again."""
        told: list[Change] = []
        try:
            with Writer(existing(self.library), self.choose) as writer:
                run = Run(writer, None, False, False, silent, self.is_whole)
                journal = Journal(writer.db)
                try:
                    run.scan(list(places(writer.roots, spots)))
                finally:
                    told = journal.read()
                self._finish(run)
                self.attention.done(spots)  # before it learns of a folder that asks for another look
                self.attention.learn(writer.roots)
        except LibraryBusy as error:
            self._later(spots, BUSY, f"{error} Trying again.")
        except (sqlite3.Error, OSError) as error:
            self._later(spots, TROUBLE, f"The library cannot be written: {error}. Trying again.")
        else:
            for line in [*run.report.lacking, *run.report.notes]:
                self.attention.say_once(line)
        for change in told:
            self.tell(change)
        if told:
            self._finish_at = min(self._finish_at, monotonic() + FINISH)

    def _finish(self, run: Run) -> None:
        """Build and tag, and read what takes long, some time after the first change."""
        if self._finish_at <= monotonic():
            run.complete()
            self._finish_at = float("inf")

    def _later(self, spots: Sequence[Spot], seconds: float, line: str) -> None:
        self.attention.later(spots, seconds)
        self._finish_at = max(self._finish_at, monotonic() + seconds)
        self.attention.say_once(line)


def _warm(embedder: Embedder | None) -> None:
    """Load both towers now, so that the first file need not wait for them."""
    if embedder is not None:
        from PIL import Image

        embedder.embed_images([embedder.prepare(Image.new("RGB", (embedder.side, embedder.side)))])
        embedder.embed_texts(["a"])
