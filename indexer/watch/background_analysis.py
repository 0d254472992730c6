"""Run backfill and analyses in a thread, and lock the library only while their results are written."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event, Lock, Thread

from indexer.enrich.runner import run_enrichment
from indexer.operations.options import IndexOptions
from indexer.operations.steps.backfill import run_backfill
from indexer.store.writer import LibraryWriter
from indexer.types import DEFAULT_BATCH_LIMITS, Notify, no_progress
from retrieval.catalog.reader import Catalog
from retrieval.catalog.settings import LibrarySettings
from retrieval.embedders.base import Embedder
from retrieval.errors import ClewError, LibraryBusy
from retrieval.media.limits import DEFAULT_LIMITS
from retrieval.types import Space

BUSY_RETRY_SECONDS = 0.2  # until the next attempt if another process writes the library
MAX_END_SECONDS = 1.0  # for a unit in hand at the end of the watch


class UnlockedLibrary:
    """A library that is locked only while the results of an analysis are written."""

    decode_limits, batch_limits = DEFAULT_LIMITS, DEFAULT_BATCH_LIMITS

    def __init__(self, catalog: Catalog, embedder: Embedder, mutex: Lock, stop: Event) -> None:
        """Write while holding `mutex`; setting `stop` ends the wait for the library."""
        self.catalog, self.embedder, self._mutex, self._stop = catalog, embedder, mutex, stop
        self._settings = catalog.settings()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection to the catalog, for reading."""
        return self.catalog.db

    def settings(self) -> LibrarySettings:
        """Return the settings at the start of the analyses."""
        return self._settings

    @property
    def wants_thumbnails(self) -> bool:
        """Return True if thumbnails are enabled."""
        return self._settings.thumbnails_max_bytes > 0

    @contextmanager
    def writing(self) -> Iterator[LibraryWriter]:
        """Lock the library; raises CancelledError if the model or the settings have changed."""
        with ExitStack() as locks:
            writer = self._lock(locks)
            while writer is None:
                self._stop.wait(BUSY_RETRY_SECONDS)
                writer = self._lock(locks)
            if writer.settings() != self._settings:
                raise CancelledError
            yield writer

    def _lock(self, locks: ExitStack) -> LibraryWriter | None:
        """Return a writer; None if another process writes. Raises CancelledError on a stop."""
        if self._stop.is_set():
            raise CancelledError
        locks.enter_context(self._mutex)
        try:
            return locks.enter_context(LibraryWriter(self.catalog.folder, self._embedder_of))
        except LibraryBusy:
            locks.close()
            return None

    def _embedder_of(self, space: Space | None) -> Embedder:
        if space is None or space.fingerprint != self.embedder.fingerprint:
            raise CancelledError
        return self.embedder


class BackgroundAnalysis:
    """The analyses of a watched library, in one thread at a time."""

    def __init__(self, library: Path, options: IndexOptions, notify: Notify) -> None:
        self.mutex = Lock()  # held by the thread of this process that writes the library
        self._library, self._options, self._notify = library, options, notify
        self._thread: Thread | None = None
        self._stop = Event()

    def start(self, embedder: Embedder, on_results: Callable[[], None], new_audio_count: int = 0) -> bool:
        """Analyze what is pending; return False if a thread runs already.

        `on_results` is called after new segments, and after a change of the library that ended the thread.
        """
        if self._thread is not None and self._thread.is_alive():
            return False
        self._stop = Event()
        arguments = (embedder, on_results, new_audio_count)
        self._thread = Thread(target=self._run, args=arguments, name="clew-analysis", daemon=True)
        self._thread.start()
        return True

    def close(self) -> None:
        """End the thread; its last uncommitted unit is analyzed again later."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(MAX_END_SECONDS)

    def _run(self, embedder: Embedder, on_results: Callable[[], None], new_audio_count: int) -> None:
        try:
            with closing(Catalog.open(self._library)) as catalog:
                library = UnlockedLibrary(catalog, embedder, self.mutex, self._stop)
                backfilled = run_backfill(library, no_progress, self._stop)
                for line in backfilled.notes:
                    self._notify(line)
                if backfilled.segments:
                    on_results()
                result = run_enrichment(
                    library,
                    no_progress,
                    self._notify,
                    transcriber=self._options.transcriber,
                    sound_classifier=self._options.sound_classifier,
                    new_audio_count=new_audio_count,
                    stop=self._stop,
                )
        except CancelledError:
            if not self._stop.is_set():  # the model or the enabled analyses have changed
                on_results()
            return
        except (ClewError, sqlite3.Error, OSError) as error:
            self._notify(f"Cannot analyze files: {error}. Trying again after the next change.")
            return
        for line in [*result.missing_extras, *result.notes]:
            self._notify(line)
        if result.kinds:
            on_results()
