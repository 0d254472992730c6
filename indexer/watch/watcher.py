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
from indexer.operations.index import embedder_factory, update_open_library
from indexer.operations.pipeline import IndexRun
from indexer.operations.report import Report
from indexer.store.location import absolute_path, as_list, existing_library, library_path
from indexer.store.writer import LibraryWriter
from indexer.types import FileEntry, Notify, Progress, no_progress
from indexer.watch.change_log import Change, ChangeLog
from indexer.watch.scheduler import RescanScheduler, RescanTarget, scan_targets
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryBusy
from retrieval.media.archives.archive import split_archive_path
from retrieval.types import Space

RESCAN_SECONDS = 600.0  # seconds between two scans of everything, for what was not heard of
BUSY_RETRY_SECONDS, ERROR_RETRY_SECONDS = 1.0, 10.0  # seconds until the next attempt
INDEX_UPDATE_SECONDS = 60.0  # seconds between two looks at whether the index is due

EmbedderFactory = Callable[[Space | None], Embedder]
InitialScan = Callable[[LibraryWriter], Report]


def watch_library(
    folders: str | Path | Sequence[str | Path] = (),
    *,
    library: str | Path | None = None,
    rescan_seconds: float = RESCAN_SECONDS,
    model: str | None = None,
    arch: str | None = None,
    device: str | None = None,
    embedder: Embedder | None = None,
    on_change: Callable[[Change], None] = lambda change: None,
    on_initial_scan: Callable[[Report], None] = lambda report: None,
    progress: Progress = no_progress,
    notify: Notify = resolve.ignore_message,
    stop: Event | None = None,
    **options: Any,
) -> None:
    """Index these folders, or all that the library has, and what changes there from then on, until `stop`.

    `begun` gets the report of the first scan; then `tell` gets each change once it is committed, and can be
    found. `every` is how many seconds lie between two scans of everything. What is being written is not
    read before it is whole. The rest, and `how`, is as in `update_library`. Ctrl-C raises
    KeyboardInterrupt. Raises LibraryError.
    """
    given = [Path(folder) for folder in as_list(folders)]
    choose = EmbedderCache(
        embedder_factory(embedder, model, arch, device, notify),
        embedder_factory(embedder, None, None, device, notify),
    )
    place = library_path(library)
    attention = RescanScheduler(
        [absolute_path(folder) for folder in given], fsencode(place.absolute()), rescan_seconds, notify
    )
    watch = LibraryWatcher(place, choose, attention, on_change)

    def first(writer: LibraryWriter) -> Report:
        return update_open_library(writer, given, progress=progress, should_read=watch.is_complete, **options)

    stop = stop or Event()
    try:
        report = watch.initial_scan(first, stop)
        if report is not None:
            on_initial_scan(report)
            if report.interrupted and not stop.is_set():
                raise KeyboardInterrupt
        watch.run(stop)
    finally:
        attention.close()


class EmbedderCache:
    """Find the embedder of the space that answers, which stays loaded until another space does."""

    def __init__(self, initial: EmbedderFactory, replacement: EmbedderFactory) -> None:
        self._initial, self._replacement = initial, replacement
        self.embedder: Embedder | None = None

    def __call__(self, space: Space | None) -> Embedder:
        """Return the embedder."""
        if self.embedder is None:
            self.embedder = self._initial(space)
        elif space is not None and space.fingerprint != self.embedder.fingerprint:  # `clew switch`
            self.embedder = self._replacement(space)
        return self.embedder


class LibraryWatcher:
    """Write what is new at the spots that are due, and tell of it."""

    def __init__(
        self,
        library: Path,
        embedders: EmbedderCache,
        scheduler: RescanScheduler,
        on_change: Callable[[Change], None],
    ) -> None:
        self.library, self.embedders, self.scheduler, self.on_change = (
            library,
            embedders,
            scheduler,
            on_change,
        )
        self._index_update_at = float("inf")

    def initial_scan(self, scan: InitialScan, stop: Event) -> Report | None:
        """Scan everything once, with open eyes, and make ready for what comes; None if told to stop."""
        while not stop.is_set():
            try:
                with LibraryWriter(self.library, self.embedders) as writer:
                    self.scheduler.set_roots(writer.roots)
                    report = scan(writer)
                    self.scheduler.set_roots(writer.roots)
            except LibraryBusy as error:
                self.scheduler.notify_once(f"{error} Trying again.")
                stop.wait(BUSY_RETRY_SECONDS)
            else:
                if not report.interrupted:
                    _warm_up(self.embedders.embedder)
                return report
        return None

    def run(self, stop: Event) -> None:
        """Follow what changes until told to stop."""
        while not stop.is_set():
            self.scheduler.wait(self._index_update_at)
            if (spots := self.scheduler.due()) or self._index_update_at <= monotonic():
                self._rescan(spots)

    def is_complete(self, root_path: bytes, entry: FileEntry) -> bool:
        """Say whether a new file is whole; one that is not is read when it is."""
        path = root_path.rstrip(b"/") + b"/" + entry.path
        archive = split_archive_path(path)
        return self.scheduler.pending_writes.check(path if archive is None else archive[0])

    def _rescan(self, targets: Sequence[RescanTarget]) -> None:
        """Look at these spots, write, and tell of it; what fails for the moment is tried again."""
        told: list[Change] = []
        try:
            with LibraryWriter(existing_library(self.library), self.embedders) as writer:
                run = IndexRun(writer, None, False, False, no_progress, self.is_complete)
                journal = ChangeLog(writer.db)
                try:
                    run.scan(list(scan_targets(writer.roots, targets)))
                finally:
                    told = journal.changes()
                self._update_indexes(run)
                self.scheduler.mark_done(targets)  # before it learns of a folder that asks for another look
                self.scheduler.set_roots(writer.roots)
        except LibraryBusy as error:
            self._retry_later(targets, BUSY_RETRY_SECONDS, f"{error} Trying again.")
        except (sqlite3.Error, OSError) as error:
            self._retry_later(
                targets, ERROR_RETRY_SECONDS, f"The library cannot be written: {error}. Trying again."
            )
        else:
            for line in [*run.report.lacking, *run.report.notes]:
                self.scheduler.notify_once(line)
        for change in told:
            self.on_change(change)
        if told:
            self._index_update_at = min(self._index_update_at, monotonic() + INDEX_UPDATE_SECONDS)

    def _update_indexes(self, run: IndexRun) -> None:
        """Build and tag, and read what takes long, some time after the first change."""
        if self._index_update_at <= monotonic():
            run.finish()
            self._index_update_at = float("inf")

    def _retry_later(self, targets: Sequence[RescanTarget], seconds: float, line: str) -> None:
        self.scheduler.retry_after(targets, seconds)
        self._index_update_at = max(self._index_update_at, monotonic() + seconds)
        self.scheduler.notify_once(line)


def _warm_up(embedder: Embedder | None) -> None:
    """Load both towers now, so that the first file need not wait for them."""
    if embedder is not None:
        from PIL import Image

        embedder.embed_images(
            [embedder.prepare(Image.new("RGB", (embedder.min_image_side, embedder.min_image_side)))]
        )
        embedder.embed_texts(["a"])
