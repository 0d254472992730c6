"""Analyzer protocol, its work units, and the pass that runs an analyzer over contents."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import BinaryIO, NamedTuple, Protocol

from indexer.decode.base import SegmentDraft
from indexer.decode.reader import open_unchanged
from indexer.enrich.content_pass import ContentPass, in_reading_order
from indexer.store.analyses import (
    Analysis,
    PartialResult,
    PendingContent,
    locate,
)
from indexer.store.writer import LibraryWriter
from retrieval.errors import ExtraMissing
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
    create_analyzer: Callable[[], Analyzer]  # raises ExtraMissing and EmbedderError


class AnalysisPass(ContentPass[tuple[int, WorkUnit], PartialResult]):
    """Runs an analyzer over contents."""

    prefetch_per_thread = 1  # units are large: minutes of audio, images in full size

    def __init__(self, writer: LibraryWriter, enrichment: Enrichment, contents: Sequence[int]) -> None:
        """Create the analyzer; raises ExtraMissing and EmbedderError."""
        self.writer, self.contents = writer, contents
        self.batch_size, self.commit_interval = writer.batch_limits.segments, writer.batch_limits.seconds
        self.analyzer = enrichment.create_analyzer()
        self.threads = self.analyzer.threads
        self.total = len(contents)
        self.new_segments = Counter[str]()
        self.contents_with_results = set[int]()
        self._key = enrichment.analysis, enrichment.version

    def pending(self) -> Iterator[tuple[int, WorkUnit]]:
        """Yield the units of each content; a missing or changed file waits for a later run."""
        contents, limits = locate(self.writer.db.conn, self.contents, *self._key), self.writer.decode_limits
        for content, opener in in_reading_order(contents, limits):
            try:
                with open_unchanged(content.digest, content.path, opener, limits) as file:
                    if file is None:
                        continue
                    with closing(self.analyzer.work_units(file, content)) as units:
                        yield from ((content.content, unit) for unit in units)
            except (OSError, ExtraMissing):  # removed meanwhile, or not readable at the moment
                continue
            except Exception:  # no version of this analyzer can read it
                yield content.content, WorkUnit(list, None)

    def process(self, item: tuple[int, WorkUnit]) -> Sequence[PartialResult]:
        """Analyze a unit."""
        content, unit = item
        return [PartialResult(content, unit.analyze(), unit.progress)]

    def recover(self, item: tuple[int, WorkUnit], error: Exception) -> Sequence[PartialResult]:
        """Record that nothing was found in a unit."""
        content, unit = item
        return [PartialResult(content, (), unit.progress)]

    def drafts(self, result: PartialResult) -> Sequence[SegmentDraft]:
        """Return the new segments."""
        return result.drafts

    def commit(self, results: Sequence[PartialResult], vectors: Vectors) -> None:
        """Append the new segments to their contents."""
        self.new_segments += self.writer.save_results(*self._key, results, vectors)
        self.contents_with_results |= {result.content for result in results if result.drafts}
        self.done += sum(result.progress is None for result in results)
