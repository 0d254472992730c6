"""Read, embed and write the new files of a scan."""

import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from indexer.decode.context import DecodeContext
from indexer.decode.reader import ReadResult, read_file
from indexer.embed.archive_order import in_archive_order
from indexer.embed.batches import embed_batch, iter_batches, keep_failed
from indexer.enrich.screenshots import is_screenshot
from indexer.maintenance.build_index import PeriodicBuild
from indexer.operations.report import Report
from indexer.prefetch import Prefetch, PrefetchLimits, finishing_message, prefetch
from indexer.scan.entry_list import EntryList
from indexer.scan.targets import ScanTarget
from indexer.store.writer import WriteCounts
from indexer.types import FileEntry
from retrieval.embedders.pace import EmbeddingPace
from retrieval.formatting import printable
from retrieval.media.archives.archive import Opener
from retrieval.system import cores
from retrieval.types import Vectors

if TYPE_CHECKING:
    from indexer.operations.pipeline import IndexRun

PREFETCH_PER_THREAD = 16  # files decoded ahead, per thread
TICK_SECONDS = 0.5  # between two checks whether a batch is due while a file is read
WAITING = ReadResult(FileEntry(b"", 0, 0, ""))  # instead of a file that takes longer
WAITING_TICK: tuple[float, ReadResult | None] = (TICK_SECONDS, WAITING)


def index_new_files(run: "IndexRun", target: ScanTarget, entries: EntryList) -> None:
    """Read, embed and write new files; an interruption loses at most the batch being written and the next."""
    writer, report = run.writer, run.report
    build = PeriodicBuild(writer, run.options.index_method, built_at=report.segments)
    # A batch is embedded while the previous one is written and the next ones are read.
    embedder, stop = writer.embedder, Event()
    threads, pace = embedder.concurrency, EmbeddingPace(stop)
    with (
        closing(_read_files(run, target.root_path, entries, stop)) as reads,
        closing(iter_batches(reads, writer.batch_limits, pace)) as read_batches,
        closing(
            prefetch(
                partial(embed_batch, embedder, pace=pace),
                read_batches,
                threads=threads,
                depth=threads + 1,
                stop=stop,
            )
        ) as batches,
    ):
        reasons = dict[bytes, str]()
        for batch in filter(None, batches):
            _add_counts(report, writer.write(target.root_id, keep_failed(batch, reasons)))
            build.update(report.segments)


def _read_files(
    run: "IndexRun", root_path: bytes, entries: EntryList, stop: Event
) -> Generator[ReadResult | None]:
    """Read and decode files in threads, ahead of their use; yield None while a file takes long."""
    embedder, limits = run.writer.embedder, run.writer.decode_limits
    is_known = partial(run.writer.is_known, retry=run.options.retry)
    contexts = {wanted: DecodeContext(embedder, wanted, limits, stop) for wanted in (False, True)}

    def work(turn: tuple[FileEntry, Opener | None]) -> ReadResult | None:
        entry, opener = turn
        context = contexts[run.writer.thumbnails.is_accepting]
        return read_file(root_path, entry, context, is_known, opener)

    def report_wait(turns: Sequence[tuple[FileEntry, Opener | None]]) -> None:
        names = [os.fsdecode(os.path.basename(entry.path)) for entry, _ in turns]
        run.notify(printable(finishing_message(names)))

    threads = cores()
    turns = in_archive_order(entries, lambda entry: os.path.join(root_path, entry.path), len(entries), limits)
    ahead = PrefetchLimits(
        threads=threads,
        depth=PREFETCH_PER_THREAD * threads,
        weight=_prefetch_bytes,
        max_weight=limits.max_prefetch_bytes,
    )
    reads = Prefetch(work, ahead, stop=stop, on_wait=report_wait, tick=WAITING_TICK).run(turns)
    done = size = 0
    with closing(reads):
        for result in reads:
            if result is WAITING:
                yield None
                continue
            done += 1
            if result is not None:
                size += result.entry.size
            run.progress(os.fsdecode(root_path), done, len(entries), size)
            if result is None:
                continue
            run.screenshot_count += bool(result.decoded.drafts) and is_screenshot(result.entry)
            if result.missing_extra is not None:
                run.report.lacking[result.missing_extra] += 1
            name, decoded = os.fsdecode(result.entry.path), result.decoded
            run.report.partly += [f"{name}: {decoded.note}."] * (decoded.note is not None)
            run.report.assumed += [f"{name}: {decoded.assumption}."] * (decoded.assumption is not None)
            vector = run.stored_vector(root_path, result.entry)
            yield result if vector is None else _with_vector(result, vector)


def _with_vector(read: ReadResult, vector: Vectors) -> ReadResult:
    """Return an image that is not embedded, because its vector is known; its further frames are."""
    drafts = read.decoded.drafts
    if not drafts or drafts[0].kind != "image":
        return read
    first = replace(drafts[0], pixels=None, vector=vector)
    return replace(read, decoded=replace(read.decoded, drafts=[first, *drafts[1:]]))


def _add_counts(report: Report, counts: WriteCounts) -> None:
    """Add the counts of a written batch to the report."""
    report.added += counts.files["added"]
    report.updated += counts.files["updated"]
    report.unchanged += counts.files["unchanged"]
    report.failed += counts.files["failed"]
    report.segments += counts.segments.total()
    report.kinds += counts.segments


def _prefetch_bytes(read: ReadResult | None) -> int:
    """Return the approximate memory of a decoded file."""
    return 0 if read is None else sum(draft.memory_bytes for draft in read.decoded.drafts)
