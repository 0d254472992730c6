"""Index folders: scan, index new files, set the states of known ones and build indexes."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from time import monotonic

from indexer.decode.versions import METADATA_VERSION, TEXT_VERSION, VIDEO_VERSION
from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.maintenance.map.build_map import build_map_if_due
from indexer.operations.options import DEFAULT_OPTIONS, IndexOptions
from indexer.operations.report import Report
from indexer.operations.saved_options import remove_disabled_results, save_settings
from indexer.operations.steps.notes import (
    network_drive_notes,
    other_link_note,
    own_root_notes,
    partial_file_notes,
    unused_pattern_notes,
)
from indexer.operations.steps.publishing import publish_if_due
from indexer.operations.steps.reconcile import accept_mass_touch, keep_offline, reconcile
from indexer.scan.diff import Changes, Reread, UnchangedArchive, compare, separate_disconnected
from indexer.scan.entry_list import EntryList
from indexer.scan.pattern_paths import resolve_pattern
from indexer.scan.targets import ScanTarget, dangling_links_above
from indexer.scan.walker import ScanIssues
from indexer.store.analyses import Analysis, outdated_contents
from indexer.store.archives import ArchiveScan
from indexer.store.location import absolute_path, missing_folder_error
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from indexer.tag.tag_table import update_tags
from indexer.types import FileEntry, Notify, Progress, ignore_message, no_progress
from retrieval.errors import LibraryError
from retrieval.formatting import printable
from retrieval.types import Vectors

FILES_PER_REPORT = 250  # of a scan

BACKFILLED_VERSIONS: tuple[tuple[Analysis, str], ...] = (
    ("metadata", str(METADATA_VERSION)),
    ("scenes", VIDEO_VERSION),
    ("text", TEXT_VERSION),
)

ShouldRead = Callable[[bytes, FileEntry], bool]  # root and new file -> True to read it now
StoredVector = Callable[[bytes, FileEntry], Vectors | None]  # root and new image -> (d,), not to embed it


def read_always(root_path: bytes, entry: FileEntry) -> bool:
    """Return True."""
    return True


def embed_always(root_path: bytes, entry: FileEntry) -> None:
    """Return no stored vector."""


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
        stored_vector: StoredVector = embed_always,
        notify: Notify = ignore_message,
    ) -> None:
        self.writer, self.options, self.should_read = writer, options, should_read
        self.progress = writer.progress_file.shared(progress)
        self.stored_vector, self.notify = stored_vector, notify
        self.reread: Reread = "all" if options.again else "failed" if options.retry else "none"
        self.report = Report()
        self.used_patterns = set[str]()
        self.screenshot_count = 0  # new ones

    def update(self, folders: Sequence[Path], *, analyses: bool = True, publish: bool = True) -> Report:
        """Index folders, or all folders of the library; save the options first. Raises LibraryError.

        Without `analyses`, the backfill, text in images, speech and sound events are left to the caller, and
        without `publish` the changes of the Milvus server.
        """
        started_at = monotonic()
        known = self.writer.roots.paths()
        targets = _register_folders(self.writer, [absolute_path(folder) for folder in folders], self.options)
        self.report.notes += map(str, filter(None, [self.writer.connection.loss]))
        self.report.notes += network_drive_notes(self.writer.folder)
        self.report.notes += own_root_notes(known, targets)
        self.report.notes += remove_disabled_results(self.writer, self.options)
        try:
            self.scan(targets)
            self.report.notes += unused_pattern_notes(
                _given_patterns(self.options), targets, self.used_patterns
            )
            self.finish(analyses=analyses)
            if publish:
                self.publish()
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
            if scan.changes.new_or_changed:
                from indexer.operations.steps.new_files import index_new_files  # heavy

                index_new_files(self, scan.target, scan.changes.new_or_changed)
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
            from indexer.enrich.screenshots import unread_screenshots_hint

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
        known = partial(self.writer.roots.catalog_rows, target)
        files = chain.from_iterable(self._count_files(target, archives.walk(issues)))
        changes = compare(files, known, issues, self.reread)
        self.report.notes += accept_mass_touch(self.writer.roots, target, changes)
        if not self.options.confirm_gone:
            mounts = self.writer.mounts.disconnected(target, issues.mounts, changes.missing)
            separate_disconnected(changes, [*mounts, *issues.dangling_links, *dangling_links_above(target)])
        self.writer.roots.save_unreadable(target, issues.unreadable)
        self.writer.roots.save_links(target, issues.links)
        if issues.is_behind_other_link:
            self.report.notes.append(other_link_note(target))
        changes.failed += archives.error_count
        changes.new_or_changed = EntryList(
            entry for entry in changes.new_or_changed if self.should_read(target.root_path, entry)
        )
        self.report.skipped += issues.skipped
        self.used_patterns |= issues.used_patterns
        return TargetScan(target, changes, archives)

    def _count_files(
        self, target: ScanTarget, runs: Iterable[Sequence[FileEntry | UnchangedArchive]]
    ) -> Iterator[Sequence[FileEntry | UnchangedArchive]]:
        """Yield the runs of files of a scan and report the number of files."""
        title, count = os.fsdecode(target.root_path), 0
        self.progress(title, 0, 0)
        for run in runs:
            yield run
            before, count = count, count + len(run)
            if count // FILES_PER_REPORT > before // FILES_PER_REPORT:
                self.progress(title, count, 0)

    def backfill(self) -> None:
        """Add what earlier runs left out because files were offline or the version was older."""
        if not is_backfill_due(self.writer):
            return
        from indexer.operations.steps.backfill import run_backfill  # heavy

        result = run_backfill(self.writer, self.progress)
        self.report.segments += result.segments
        self.report.notes += result.notes

    def enrich(self) -> None:
        """Run the enabled enrichments: OCR, speech and sound events."""
        options, settings, new_audio_count = self.options, self.writer.settings(), self.report.kinds["audio"]
        is_enabled = settings.ocr or settings.speech_model or settings.sound_model
        if not (is_enabled or options.transcriber or options.sound_classifier or new_audio_count):
            return
        from indexer.enrich.runner import run_enrichment  # heavy

        result = run_enrichment(
            self.writer,
            self.progress,
            self.notify,
            transcriber=options.transcriber,
            sound_classifier=options.sound_classifier,
            new_audio_count=new_audio_count,
        )
        self.report.kinds += result.kinds
        self.report.segments += result.kinds.total()
        self.report.lacking += result.missing_extras
        self.report.notes += result.notes

    def update_indexes(self) -> None:
        """Update indexes, calibrations, tags and the map if they are due."""
        calibrate_if_due(self.writer, active_space(self.writer.catalog), self.writer.embedder)
        space = build_if_due(self.writer, self.options.index_method)  # tuned with the background queries
        update_tags(self.writer, space, self.writer.embedder)
        build_map_if_due(self.writer, space)

    def publish(self) -> None:
        """Send the changes to the Milvus server of the library, if it has one."""
        token, notify = self.options.milvus_token, self.report.notes.append
        self.report.interrupted = not publish_if_due(self.writer, token, notify, self.progress)


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


def is_backfill_due(writer: LibraryWriter) -> bool:
    """Return True if `run_backfill` may have anything to do; it is heavy to import."""
    return (
        not active_space(writer.catalog).complete
        or writer.settings().tiles
        or any(outdated_contents(writer.connection, *version) for version in BACKFILLED_VERSIONS)
    )


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
