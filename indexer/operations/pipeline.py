"""Index folders: scan, read ahead, embed, write and build indexes."""

import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic

from indexer.decode.context import DecodeContext
from indexer.decode.reader import ReadResult, read_file
from indexer.embed.archive_order import in_archive_order
from indexer.embed.batches import embed_batch, iter_batches
from indexer.enrich.runner import run_enrichment
from indexer.enrich.screenshots import is_screenshot, unread_screenshots_hint
from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.operations.backfill import run_backfill
from indexer.operations.notes import other_link_note, own_root_notes, partial_file_notes, unused_pattern_notes
from indexer.operations.options import DEFAULT_OPTIONS, IndexOptions
from indexer.operations.reconcile import accept_mass_touch, keep_offline, reconcile
from indexer.operations.report import Report
from indexer.operations.saved_options import remove_disabled_results, save_settings
from indexer.prefetch import Prefetch, PrefetchLimits, finishing_message, prefetch
from indexer.scan.diff import Changes, Reread, UnchangedArchive, compare, separate_disconnected
from indexer.scan.pattern_paths import resolve_pattern
from indexer.scan.targets import ScanTarget, dangling_links_above
from indexer.scan.walker import ScanIssues
from indexer.store.archives import ArchiveScan
from indexer.store.location import absolute_path, missing_folder_error
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter, WriteCounts
from indexer.tag.tag_table import update_tags
from indexer.types import FileEntry, Notify, Progress, ignore_message, no_progress
from retrieval.embedders.pace import EmbeddingPace
from retrieval.errors import LibraryError
from retrieval.formatting import printable
from retrieval.media.archives.archive import Opener
from retrieval.system import cores
from retrieval.types import Space

FILES_PER_REPORT = 250  # of a scan
PREFETCH_PER_THREAD = 16  # files decoded ahead, per thread
TICK_SECONDS = 0.5  # between two checks whether a batch is due while a file is read
WAITING = ReadResult(FileEntry(b"", 0, 0, ""))  # instead of a file that takes longer
WAITING_TICK: tuple[float, ReadResult | None] = (TICK_SECONDS, WAITING)
REBUILD_AFTER_VECTORS = 50_000  # new vectors after which a long run rebuilds the index before its end

ShouldRead = Callable[[bytes, FileEntry], bool]  # root and new file -> True to read it now


def read_always(root_path: bytes, entry: FileEntry) -> bool:
    """Return True."""
    return True


@dataclass(frozen=True, slots=True)
class TargetScan:
    """A scanned folder, its changes, and its archives."""

    target: ScanTarget
    changes: Changes
    archives: ArchiveScan


class IndexRun:
    """One indexing run. `report` has its counts so far."""

    def __init__(
        self,
        writer: LibraryWriter,
        options: IndexOptions = DEFAULT_OPTIONS,
        *,
        progress: Progress = no_progress,
        should_read: ShouldRead = read_always,
        notify: Notify = ignore_message,
    ) -> None:
        self.writer, self.options, self.progress, self.should_read = writer, options, progress, should_read
        self.notify = notify
        self.reread: Reread = "all" if options.again else "failed" if options.retry else "none"
        self.report = Report()
        self.used_patterns = set[str]()
        self.screenshot_count = 0  # new ones

    def update(self, folders: Sequence[Path], *, analyses: bool = True) -> Report:
        """Index folders, or all folders of the library; save the options first. Raises LibraryError.

        Without `analyses`, the backfill, text in images, speech and sound events are left to the caller.
        """
        started_at = monotonic()
        known = self.writer.roots.paths()
        targets = _register_folders(self.writer, [absolute_path(folder) for folder in folders], self.options)
        self.report.notes += own_root_notes(known, targets)
        self.report.notes += remove_disabled_results(self.writer, self.options)
        try:
            self.scan(targets)
            self.report.notes += unused_pattern_notes(
                _given_patterns(self.options), targets, self.used_patterns
            )
            self.finish(analyses=analyses)
            self.report.notes += filter(None, [self.writer.thumbnails.note])
        except KeyboardInterrupt:  # committed batches stay, and the next run resumes
            self.report.interrupted = True
        self.report.notes = list(map(printable, self.report.notes))
        self.report.seconds = round(monotonic() - started_at, 3)
        return self.report

    def scan(self, targets: Collection[ScanTarget]) -> None:
        """Scan folders, index their new files, and set the state of every known file."""
        since_id = self.writer.roots.last_file_id()
        self.writer.roots.mark_returned()
        scans = [scan for target in targets if (scan := self.scan_target(target)) is not None]
        for scan in scans:
            self.index_new_files(scan.target, scan.changes.new_or_changed)
        reconcile(
            self.writer.roots,
            [(scan.target, scan.changes) for scan in scans],
            since_id,
            self.report,
            confirm_gone=self.options.confirm_gone,
        )
        if self.writer.roots.last_file_id() > since_id or self.writer.captions.new_tables:
            self.writer.captions.match_names()
        for scan in scans:
            scan.archives.finish(scan.changes.unreadable)
        scanned_roots = {scan.target.root_id for scan in scans}
        keep_offline(
            self.writer.roots,
            [target for target in targets if target.root_id not in scanned_roots],
            self.report,
            confirm_gone=self.options.confirm_gone,
        )
        self.report.notes += partial_file_notes(self.report, self.writer)
        if self.screenshot_count and not self.writer.settings().ocr:
            self.report.notes.append(unread_screenshots_hint(self.screenshot_count))

    def finish(self, *, analyses: bool = True) -> None:
        """Backfill, update indexes and run the enrichments."""
        if analyses:
            self.backfill()
        self.update_indexes()
        if not analyses:
            return
        before = self.report.segments
        self.enrich()
        if self.report.segments > before:
            self.update_indexes()

    def scan_target(self, target: ScanTarget) -> TargetScan | None:
        """Diff a folder against the catalog. Return None if its root is offline; its files are then kept."""
        if target.is_offline:
            self.writer.roots.mark_offline(target.root_id)
            return None
        issues = ScanIssues()
        archives = ArchiveScan(
            self.writer.db,
            target,
            self.reread,
            self.writer.decode_limits,
            lambda archive: self.should_read(target.root_path, FileEntry(*archive[:3], decoder="")),
        )
        known = partial(self.writer.roots.catalog_files, target)
        changes = compare(self._count_files(target, archives.walk(issues)), known, issues, self.reread)
        self.report.notes += accept_mass_touch(self.writer.roots, target, changes)
        if not self.options.confirm_gone:
            mounts = self.writer.mounts.disconnected(target, issues.mounts, changes.missing)
            separate_disconnected(changes, [*mounts, *issues.dangling_links, *dangling_links_above(target)])
        self.writer.roots.save_unreadable(target, issues.unreadable)
        self.writer.roots.save_links(target, issues.links)
        if issues.is_behind_other_link:
            self.report.notes.append(other_link_note(target))
        changes.failed += archives.error_count
        changes.new_or_changed = [
            entry for entry in changes.new_or_changed if self.should_read(target.root_path, entry)
        ]
        self.report.skipped += issues.skipped
        self.used_patterns |= issues.used_patterns
        return TargetScan(target, changes, archives)

    def _count_files(
        self, target: ScanTarget, files: Iterable[FileEntry | UnchangedArchive]
    ) -> Iterator[FileEntry | UnchangedArchive]:
        """Yield the files of a scan and report their count."""
        title, count = os.fsdecode(target.root_path), 0
        self.progress(title, 0, 0)
        for count, file in enumerate(files, start=1):
            if count % FILES_PER_REPORT == 0:
                self.progress(title, count, 0)
            yield file

    def index_new_files(self, target: ScanTarget, entries: Sequence[FileEntry]) -> None:
        """Read, embed and write new files; an interruption loses at most one batch."""
        indexed = _count_indexed_vectors(active_space(self.writer.catalog))
        segments_at_build = self.report.segments
        # A batch is embedded while the previous one is written and the next ones are read.
        embedder, stop = self.writer.embedder, Event()
        threads, pace = embedder.concurrency, EmbeddingPace(stop)
        with (
            closing(self._read_files(target.root_path, entries, stop)) as reads,
            closing(iter_batches(reads, self.writer.batch_limits, pace)) as read_batches,
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
            for batch in filter(None, batches):
                self._add_counts(self.writer.write(target.root_id, batch))
                if self.report.segments - segments_at_build > max(REBUILD_AFTER_VECTORS, indexed):
                    indexed = _count_indexed_vectors(build_if_due(self.writer, self.options.index_method))
                    segments_at_build = self.report.segments

    def backfill(self) -> None:
        """Add what earlier runs left out because files were offline or the version was older."""
        result = run_backfill(self.writer, self.progress)
        self.report.segments += result.segments
        self.report.notes += result.notes

    def enrich(self) -> None:
        """Run the enabled enrichments: OCR, speech and sound events."""
        result = run_enrichment(
            self.writer,
            self.progress,
            self.notify,
            transcriber=self.options.transcriber,
            sound_classifier=self.options.sound_classifier,
            new_audio_count=self.report.kinds["audio"],
        )
        self.report.kinds += result.kinds
        self.report.segments += result.kinds.total()
        self.report.lacking += result.missing_extras
        self.report.notes += result.notes

    def update_indexes(self) -> None:
        """Update indexes, calibrations and tags if they are due."""
        space = build_if_due(self.writer, self.options.index_method)
        calibrate_if_due(self.writer, space, self.writer.embedder)
        update_tags(self.writer, space, self.writer.embedder)

    def _read_files(
        self, root_path: bytes, entries: Sequence[FileEntry], stop: Event
    ) -> Generator[ReadResult | None]:
        """Read and decode files in threads, ahead of their use; yield None while a file takes long."""
        embedder, limits = self.writer.embedder, self.writer.decode_limits
        is_known = partial(self.writer.is_known, retry=self.options.retry)
        contexts = {wanted: DecodeContext(embedder, wanted, limits, stop) for wanted in (False, True)}

        def work(turn: tuple[FileEntry, Opener | None]) -> ReadResult | None:
            entry, opener = turn
            context = contexts[self.writer.thumbnails.is_accepting]
            return read_file(root_path, entry, context, is_known, opener)

        def report_wait(turns: Sequence[tuple[FileEntry, Opener | None]]) -> None:
            names = [os.fsdecode(os.path.basename(entry.path)) for entry, _ in turns]
            self.notify(printable(finishing_message(names)))

        threads = cores()
        turns = in_archive_order(
            entries, lambda entry: os.path.join(root_path, entry.path), len(entries), limits
        )
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
                self.progress(os.fsdecode(root_path), done, len(entries), size)
                if result is None:
                    continue
                self.screenshot_count += bool(result.decoded.drafts) and is_screenshot(result.entry)
                if result.missing_extra is not None:
                    self.report.lacking[result.missing_extra] += 1
                name, decoded = os.fsdecode(result.entry.path), result.decoded
                self.report.partly += [f"{name}: {decoded.note}."] * (decoded.note is not None)
                self.report.assumed += [f"{name}: {decoded.assumption}."] * (decoded.assumption is not None)
                yield result

    def _add_counts(self, counts: WriteCounts) -> None:
        """Add the counts of a written batch to the report."""
        self.report.added += counts.files["added"]
        self.report.updated += counts.files["updated"]
        self.report.unchanged += counts.files["unchanged"]
        self.report.failed += counts.files["failed"]
        self.report.segments += counts.segments.total()
        self.report.kinds += counts.segments


def update_folders(
    writer: LibraryWriter,
    folders: Sequence[Path],
    options: IndexOptions = DEFAULT_OPTIONS,
    *,
    progress: Progress = no_progress,
    should_read: ShouldRead = read_always,
    notify: Notify = ignore_message,
) -> Report:
    """Index folders, or all folders of the library; save the options first. Raises LibraryError."""
    run = IndexRun(writer, options, progress=progress, should_read=should_read, notify=notify)
    return run.update(folders)


def _register_folders(
    writer: LibraryWriter, folders: Sequence[bytes], options: IndexOptions
) -> list[ScanTarget]:
    """Save the options, and return the targets of these folders, the roots below them and offline roots.

    Without folders, return all roots; the options are then those of all roots.
    """
    known = writer.roots.paths()
    for folder in folders:
        if folder not in known and not os.path.isdir(folder):
            raise missing_folder_error(folder)
    prefixes = tuple(path.rstrip(b"/") + b"/" for path in folders)
    exclude = _given_patterns(options)
    for pattern in exclude or ():
        if pattern and all(resolve_pattern(pattern, path) is None for path in folders or known):
            names = ", ".join(map(os.fsdecode, folders or known)) or "an indexed folder"
            raise LibraryError(printable(f"Path {pattern} of --exclude is not below {names}."))
    with writer.db.atomic():
        save_settings(writer, options)
        targets = {
            path: writer.roots.register(path)
            if path not in known and path.startswith(prefixes)  # a part of another of these folders
            else writer.roots.register(path, exclude, options.hidden, options.archives)
            for path in sorted(folders)
        }
        for path in known:
            if path not in targets and (not folders or path.startswith(prefixes)):
                targets[path] = (
                    writer.roots.register(path)
                    if folders
                    else writer.roots.register(path, exclude, options.hidden, options.archives)
                )
        targets |= {
            root.root_path: root
            for root in writer.roots.all()
            if root.root_path not in targets and root.is_offline
        }
    # The scan of a folder includes the named folders below it.
    return [t for path, t in targets.items() if not (t.subpath and path.startswith(prefixes))]


def _given_patterns(options: IndexOptions) -> Sequence[str] | None:
    return [options.exclude] if isinstance(options.exclude, str) else options.exclude


def _count_indexed_vectors(space: Space) -> int:
    """Count the vectors in the index files of a space."""
    return sum(file.count for file in space.indexes)


def _prefetch_bytes(read: ReadResult | None) -> int:
    """Return the approximate memory of a decoded file."""
    return 0 if read is None else sum(draft.memory_bytes for draft in read.decoded.drafts)
