"""Update a library while its files change.

Each update is the scan of `clew index`, limited to the folders with events. The library is locked only
meanwhile, and the model stays loaded. Text in images, speech and sound events are analyzed in a thread.
"""

import sqlite3
from collections.abc import Callable, Sequence
from os import fsencode
from pathlib import Path
from threading import Event
from time import monotonic

from indexer.operations.index import embedder_factory
from indexer.operations.options import DEFAULT_OPTIONS, IndexOptions
from indexer.operations.pipeline import IndexRun
from indexer.operations.report import Report
from indexer.operations.saved_options import check_extras
from indexer.store.location import absolute_path, as_paths, existing_library, library_path, require_folders
from indexer.store.writer import LibraryWriter
from indexer.types import FileEntry, Notify, Progress, ignore_message, no_progress
from indexer.watch.background_analysis import BackgroundAnalysis
from indexer.watch.change_log import Change, ChangeLog
from indexer.watch.options import DEFAULT_WATCH_OPTIONS, WatchOptions
from indexer.watch.scheduler import RescanScheduler, RescanTarget, scan_targets
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryBusy
from retrieval.media.archives.archive import split_archive_path
from retrieval.types import Space

EmbedderFactory = Callable[[Space | None], Embedder]
InitialScan = Callable[[LibraryWriter], Report]


def watch_library(
    folders: str | Path | Sequence[str | Path] = (),
    *,
    library: str | Path | None = None,
    model: str | None = None,
    embedder: Embedder | None = None,
    options: IndexOptions = DEFAULT_OPTIONS,
    watch_options: WatchOptions = DEFAULT_WATCH_OPTIONS,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> None:
    """Index folders, or all folders of the library, then follow their changes.

    Files are read when they are completely written. All folders are scanned again every
    `watch_options.rescan_seconds`, and `watch_options.stop` ends the watch. The other parameters are those of
    `update_library`. Ctrl-C raises KeyboardInterrupt. Raises LibraryError and EmbedderError.
    """
    check_extras(options)
    paths, library_folder = as_paths(folders), library_path(library)
    require_folders(library_folder, paths)
    embedders = EmbedderCache(
        embedder_factory(embedder, model, options.arch, options.device, notify),
        embedder_factory(embedder, None, None, options.device, notify),
    )
    scheduler = RescanScheduler(
        [absolute_path(path) for path in paths],
        fsencode(library_folder.absolute()),
        notify,
        watch_options,
    )
    analysis = BackgroundAnalysis(library_folder, options, notify)
    watcher = LibraryWatcher(library_folder, embedders, scheduler, analysis, watch_options.on_change)

    def scan(writer: LibraryWriter) -> Report:
        run = IndexRun(writer, options, progress=progress, should_read=watcher.is_complete, notify=notify)
        return run.update(paths, analyses=False)

    stop = watch_options.stop or Event()
    try:
        report = watcher.initial_scan(scan, stop)
        if report is not None:
            watch_options.on_initial_scan(report)
            if report.interrupted and not stop.is_set():
                raise KeyboardInterrupt
            watcher.start_analysis(report.kinds["audio"])
        watcher.run(stop)
    finally:
        analysis.close()
        scheduler.close()


class EmbedderCache:
    """The embedder of the active space, loaded again only if another space becomes active."""

    def __init__(self, initial: EmbedderFactory, replacement: EmbedderFactory) -> None:
        self._initial, self._replacement = initial, replacement
        self.embedder: Embedder | None = None

    def __call__(self, space: Space | None) -> Embedder:
        """Return the embedder of a space; None is a new library."""
        if self.embedder is None:
            self.embedder = self._initial(space)
        elif space is not None and space.fingerprint != self.embedder.fingerprint:  # `clew switch`
            self.embedder = self._replacement(space)
        return self.embedder


class LibraryWatcher:
    """Index the files at due rescan targets and report the changes."""

    def __init__(
        self,
        library: Path,
        embedders: EmbedderCache,
        scheduler: RescanScheduler,
        analysis: BackgroundAnalysis,
        on_change: Callable[[Change], None],
    ) -> None:
        self.library, self.embedders = library, embedders
        self.scheduler, self.analysis, self.on_change = scheduler, analysis, on_change
        self.options = scheduler.options
        self._index_update_at = float("inf")
        self._has_new_segments = Event()  # of an analysis, which are not yet in the indexes

    def initial_scan(self, scan: InitialScan, stop: Event) -> Report | None:
        """Scan all folders while events are collected, and load the model. Return None if stopped."""
        while not stop.is_set():
            try:
                with LibraryWriter(self.library, self.embedders) as writer:
                    self.scheduler.set_roots(writer.roots)
                    report = scan(writer)
                    self.scheduler.set_roots(writer.roots)
            except LibraryBusy as error:
                self.scheduler.notify_once(f"{error} Trying again.")
                stop.wait(self.options.busy_retry_seconds)
            else:
                if not report.interrupted:
                    _warm_up(self.embedders.embedder)
                return report
        return None

    def run(self, stop: Event) -> None:
        """Follow changes until `stop` is set."""
        while not stop.is_set():
            self.scheduler.wait(self._index_update_at)
            if self._has_new_segments.is_set():
                self._has_new_segments.clear()
                self._index_update_at = monotonic()
            if (targets := self.scheduler.due()) or self._index_update_at <= monotonic():
                self._rescan(targets)

    def start_analysis(self, new_audio_count: int = 0) -> None:
        """Analyze new files in the background; if a thread runs already, try again later."""
        embedder = self.embedders.embedder
        if embedder is not None and not self.analysis.start(
            embedder, self._has_new_segments.set, new_audio_count
        ):
            self._index_update_at = monotonic() + self.options.index_update_seconds

    def is_complete(self, root_path: bytes, entry: FileEntry) -> bool:
        """Return True if a new file is completely written; another one is scheduled."""
        path = root_path.rstrip(b"/") + b"/" + entry.path
        archive = split_archive_path(path)
        return self.scheduler.pending_writes.check(path if archive is None else archive[0])

    def _rescan(self, targets: Sequence[RescanTarget]) -> None:
        """Scan targets, index their changes and report them; temporary failures are retried."""
        changes: list[Change] = []
        try:
            with (
                self.analysis.mutex,
                LibraryWriter(existing_library(self.library), self.embedders) as writer,
            ):
                run = IndexRun(writer, should_read=self.is_complete)
                log = ChangeLog(writer.db)
                try:
                    run.scan(list(scan_targets(writer.roots, targets)))
                finally:
                    changes = log.changes()
                self._update_indexes(run)
                self.scheduler.mark_done(targets)  # before set_roots, which may schedule them again
                self.scheduler.set_roots(writer.roots)
        except LibraryBusy as error:
            self._retry_later(targets, self.options.busy_retry_seconds, f"{error} Trying again.")
        except (sqlite3.Error, OSError) as error:
            self._retry_later(
                targets, self.options.error_retry_seconds, f"Cannot write the library: {error}. Trying again."
            )
        else:
            for line in [*run.report.lacking, *run.report.notes]:
                self.scheduler.notify_once(line)
        for change in changes:
            self.on_change(change)
        if changes:
            self._index_update_at = min(
                self._index_update_at, monotonic() + self.options.index_update_seconds
            )

    def _update_indexes(self, run: IndexRun) -> None:
        """Update indexes and run enrichments if they are due."""
        if self._index_update_at <= monotonic():
            run.finish(analyses=False)
            self._index_update_at = float("inf")
            self.start_analysis(run.report.kinds["audio"])

    def _retry_later(self, targets: Sequence[RescanTarget], seconds: float, line: str) -> None:
        self.scheduler.retry_after(targets, seconds)
        self._index_update_at = max(self._index_update_at, monotonic() + seconds)
        self.scheduler.notify_once(line)


def _warm_up(embedder: Embedder | None) -> None:
    """Load both towers, so that the first file does not wait for them."""
    if embedder is not None:
        from PIL import Image

        side = embedder.min_image_side
        embedder.embed_images([embedder.prepare(Image.new("RGB", (side, side)))])
        embedder.embed_texts(["a"])
