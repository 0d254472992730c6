"""Passes: work that each stored content needs once, with one runner for all of them.

A new analysis is a subclass of `ContentPass` (or an `Analyzer`, see base.py). The runner reads ahead, embeds,
commits in batches and reports progress.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing
from math import inf
from threading import Event
from time import monotonic
from typing import Generic, TypeVar, cast

from indexer.decode.base import SegmentDraft
from indexer.embed.archive_order import in_archive_order
from indexer.embed.long_texts import embed_long_texts
from indexer.prefetch import Prefetch, PrefetchLimits, finishing_message, prefetch
from indexer.store.analyses import PendingContent
from indexer.types import DEFAULT_BATCH_LIMITS, Notify, ignore_message
from retrieval.embedders.base import Embedder
from retrieval.embedders.pace import EmbeddingPace
from retrieval.formatting import printable
from retrieval.media.archives.archive import Opener
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.system import cores
from retrieval.types import Vectors

PREFETCH_PER_THREAD = 16  # items processed ahead per thread

TICK_SECONDS = 0.5  # between two checks whether a batch is due while an item is processed

PassProgress = Callable[[int, int], None]  # done, total
OpenableContent = tuple[PendingContent, Opener | None]  # with its opener if the file is in an archive

Item = TypeVar("Item")
Result = TypeVar("Result")


class ContentPass(ABC, Generic[Item, Result]):
    """Work that each stored content needs once.

    Committed items are not pending again, so that an interrupted pass resumes after the last batch.
    """

    total: int  # contents, or segments, at the start
    stop: Event | None = None  # ends the items in hand with CancelledError; set at an early end of the pass
    done = 0  # of them committed; counted by `commit`
    failures: tuple[Exception, ...] = ()  # the errors that `process` raised
    threads: int | None = None  # that process items; None is one per core
    prefetch_per_thread = PREFETCH_PER_THREAD
    # Drafts in a transaction; a result without drafts counts as one.
    batch_size = DEFAULT_BATCH_LIMITS.segments
    commit_interval = inf  # seconds after which a smaller batch is committed
    embed_threads = 0  # batches embedded while further items are processed; 0 commits each batch first

    def name(self, item: Item) -> str:
        """Return the name of an item's file, to report that it is still in hand."""
        return ""

    @abstractmethod
    def pending(self) -> Iterable[Item]:
        """Yield the items to process, lazily, the members of an archive in the archive's order."""

    @abstractmethod
    def process(self, item: Item) -> Sequence[Result]:
        """Return the results of an item, in any thread; none if it has to wait for a later run."""

    def recover(self, item: Item, error: Exception) -> Sequence[Result]:
        """Return the results of an item that failed; by default none, so that a later run retries it."""
        return ()

    def drafts(self, result: Result) -> Sequence[SegmentDraft]:
        """Return the drafts of a result that are embedded before it is committed."""
        return ()

    @abstractmethod
    def commit(self, results: Sequence[Result], vectors: Vectors) -> None:
        """Write the results, and the vectors (n, d) of their n drafts, in one transaction."""


def run_pass(
    work: ContentPass[Item, Result],
    embedder: Embedder,
    progress: PassProgress,
    notify: Notify = ignore_message,
) -> None:
    """Process everything that is pending, and commit it in batches.

    An item that fails holds up no other. If every item fails, the cause is probably not in the items: then
    nothing is committed, and the last error is raised.
    """
    processor = _Processor(work)
    threads = work.threads or cores()
    depth = 1 + work.prefetch_per_thread * threads
    pace, no_results = EmbeddingPace(work.stop), cast("Sequence[Result]", ())

    def embed(batch: list[Result]) -> tuple[list[Result], Vectors]:
        drafts = [draft for result in batch for draft in work.drafts(result)]
        return batch, embed_long_texts(embedder, drafts, pace)

    def report_wait(items: Sequence[Item]) -> None:
        notify(printable(finishing_message([name for item in items if (name := work.name(item))])))

    with (
        closing(
            Prefetch(
                processor,
                PrefetchLimits(threads=threads, depth=depth),
                stop=work.stop,
                on_wait=report_wait,
                tick=(TICK_SECONDS, no_results),
            ).run(work.pending())
        ) as processed,
        closing(
            prefetch(
                embed,
                _batches(processor, processed),
                threads=work.embed_threads or 1,
                depth=work.embed_threads + 1,
                stop=work.stop,
            )
        ) as batches,
    ):
        for batch, vectors in batches:
            work.commit(batch, vectors)
            progress(work.done, work.total)
    if processor.last_error is not None and not processor.has_succeeded:
        raise processor.last_error


class _Processor(Generic[Item, Result]):
    """Processes items in any thread, and replaces the results of those that fail."""

    def __init__(self, work: ContentPass[Item, Result]) -> None:
        self.work = work
        self.last_error: Exception | None = None
        self.has_succeeded = False

    def __call__(self, item: Item) -> Sequence[Result]:
        try:
            results = self.work.process(item)
        except CancelledError:
            raise
        except Exception as error:  # a defect of a library that one file triggers
            self.last_error = error
            self.work.failures += (error,)
            return self.work.recover(item, error)
        self.has_succeeded = True
        return results

    @property
    def is_trusted(self) -> bool:
        """Return True unless all items have failed so far."""
        return self.has_succeeded or self.last_error is None


def _batches(
    processor: _Processor[Item, Result], processed: Iterable[Sequence[Result]]
) -> Iterator[list[Result]]:
    """Yield results in batches for one transaction each."""
    work, batch, size, started = processor.work, list[Result](), 0, monotonic()
    for results in processed:
        for result in results:
            batch.append(result)
            size += max(1, len(work.drafts(result)))
            is_due = size >= work.batch_size or monotonic() - started > work.commit_interval
            if is_due and processor.is_trusted:
                yield batch
                batch, size, started = [], 0, monotonic()
        if batch and not results and processor.is_trusted and monotonic() - started > work.commit_interval:
            yield batch
            batch, size, started = [], 0, monotonic()
    if batch and processor.is_trusted:
        yield batch


def in_reading_order(
    contents: Iterable[PendingContent], limits: DecodeLimits = DEFAULT_LIMITS
) -> Iterator[OpenableContent]:
    """Yield contents in the order in which their archives are read sequentially."""
    return in_archive_order(contents, lambda content: content.path, limits=limits)
