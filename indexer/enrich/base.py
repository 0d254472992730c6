"""Analyzer protocol, its work units, and the pass that runs an analyzer over contents."""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, closing
from threading import Event
from typing import BinaryIO, NamedTuple, Protocol

from indexer.decode.base import SegmentDraft
from indexer.decode.reader import open_unchanged, size_and_times
from indexer.enrich.content_pass import ContentPass, in_reading_order
from indexer.prefetch import LinkedEvent
from indexer.store.analyses import (
    Analysis,
    PartialResult,
    PendingContent,
    locate,
)
from indexer.store.writer import LibraryWriter
from indexer.types import BatchLimits
from retrieval.catalog.reader import Catalog
from retrieval.catalog.settings import LibrarySettings
from retrieval.embedders.base import Embedder
from retrieval.errors import ExtraMissing, MediaError
from retrieval.formatting import printable
from retrieval.media.limits import DecodeLimits
from retrieval.media.sandbox import ProcessEnded
from retrieval.types import Vectors


class WorkUnit(NamedTuple):
    """A part of a content that is analyzed at once, in any thread."""

    analyze: Callable[[], list[SegmentDraft]]
    progress: float | None  # seconds or pages up to its end; None completes the content


class Analyzer(Protocol):
    """Finds segments in the files of complete contents."""

    threads: int  # that analyze units

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield the units after `pending.progress`; raise MediaError if the file cannot be read."""
        ...


class Enrichment(NamedTuple):
    """An analysis that a library or a run has enabled."""

    analysis: Analysis
    title: str  # for progress and notes
    version: str  # another one analyzes all contents again
    decoders: Sequence[str]  # of the contents that are analyzed
    create_analyzer: Callable[[Event], Analyzer]  # raises ExtraMissing and EmbedderError; the event stops it


class AnalyzedLibrary(Protocol):
    """A library whose contents are analyzed: a `LibraryWriter`, or one that is locked only for writing."""

    @property
    def catalog(self) -> Catalog:
        """The catalog, for reading."""
        ...

    @property
    def wants_thumbnails(self) -> bool:
        """True if thumbnails are made."""
        ...

    def writing(self) -> AbstractContextManager[LibraryWriter]:
        """Return the writer, which is locked meanwhile; raises CancelledError if it must not write now."""
        ...

    @property
    def embedder(self) -> Embedder:
        """The embedder of the active space."""
        ...

    @property
    def decode_limits(self) -> DecodeLimits:
        """The limits of decoding."""
        ...

    @property
    def batch_limits(self) -> BatchLimits:
        """When results are committed."""
        ...

    @property
    def connection(self) -> sqlite3.Connection:
        """A connection to the catalog, for reading."""
        ...

    def settings(self) -> LibrarySettings:
        """Return the settings."""
        ...


class ContentUnit(NamedTuple):
    """A unit of a content's file."""

    content: int
    path: bytes
    unit: WorkUnit


class AnalysisPass(ContentPass[ContentUnit, PartialResult]):
    """Runs an analyzer over contents."""

    prefetch_per_thread = 1  # units are large: minutes of audio, images in full size

    def __init__(
        self,
        writer: AnalyzedLibrary,
        enrichment: Enrichment,
        contents: Sequence[int],
        stop: Event | None = None,
    ) -> None:
        """Create the analyzer; raises ExtraMissing and EmbedderError."""
        self.writer, self.contents, self.stop = writer, contents, LinkedEvent(stop)
        self.batch_size, self.commit_interval = writer.batch_limits.segments, writer.batch_limits.seconds
        self.analyzer = enrichment.create_analyzer(self.stop)
        self.threads = self.analyzer.threads
        self.total = len(contents)
        self.new_segments = Counter[str]()
        self.contents_with_results = set[int]()
        self.postponed: list[str] = []  # files that failed, and why
        self._key = enrichment.analysis, enrichment.version

    def name(self, item: ContentUnit) -> str:
        """Return the name of an item's file."""
        return os.fsdecode(os.path.basename(item.path))

    def pending(self) -> Iterator[ContentUnit]:
        """Yield the units of each content; a missing or changed file waits for a later run.

        So does a file whose subprocess ends, or that fails for another reason than its content: time and
        memory also depend on the load of the machine.
        """
        contents, limits = (
            locate(self.writer.connection, self.contents, *self._key),
            self.writer.decode_limits,
        )
        for content, opener in in_reading_order(contents, limits):
            try:
                with open_unchanged(content.digest, content.path, opener, limits, self.stop) as file:
                    if file is None:
                        continue
                    before = size_and_times(file)
                    with closing(self.analyzer.work_units(file, content)) as units:
                        for unit in units:
                            if size_and_times(file) != before:  # the unit may be of another content
                                break
                            yield ContentUnit(content.content, content.path, unit)
            except (OSError, ExtraMissing):  # removed meanwhile, or not readable at the moment
                continue
            except CancelledError:
                return
            except Exception as error:
                if not isinstance(error, MediaError) or isinstance(error.__cause__, ProcessEnded):
                    self.postponed.append(f"{printable(os.fsdecode(content.path))}: {error}")
                    continue
                # No version of this analyzer can read it.
                yield ContentUnit(content.content, content.path, WorkUnit(list, None))

    def process(self, item: ContentUnit) -> Sequence[PartialResult]:
        """Analyze a unit."""
        return [PartialResult(item.content, item.unit.analyze(), item.unit.progress)]

    def recover(self, item: ContentUnit, error: Exception) -> Sequence[PartialResult]:
        """Record that nothing was found in a unit."""
        return [PartialResult(item.content, (), item.unit.progress)]

    def drafts(self, result: PartialResult) -> Sequence[SegmentDraft]:
        """Return the new segments."""
        return result.drafts

    def commit(self, results: Sequence[PartialResult], vectors: Vectors) -> None:
        """Append the new segments to their contents."""
        with self.writer.writing() as writer:
            self.new_segments += writer.save_results(*self._key, results, vectors)
        self.contents_with_results |= {result.content for result in results if result.drafts}
        self.done += sum(result.progress is None for result in results)
