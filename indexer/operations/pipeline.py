"""Bring a library up to date with its folders: scan, read ahead, embed, write, build."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Literal

from indexer.decode.context import DecodeContext
from indexer.decode.reader import ReadResult, read_file
from indexer.embed.archive_order import in_archive_order
from indexer.embed.batches import embed_batch, iter_batches
from indexer.enrich.runner import run_enrichment
from indexer.enrich.settings import DEFAULT_OPTIONS, EnrichmentOptions, save_options
from indexer.enrich.tiles import add_tiles
from indexer.maintenance.backfill_vectors import backfill_vectors
from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.maintenance.refresh_metadata import refresh_metadata
from indexer.operations.report import Report
from indexer.prefetch import prefetch
from indexer.scan.diff import Changes, compare
from indexer.scan.targets import ScanTarget
from indexer.scan.walker import ScanIssues, walk
from indexer.store.archives import ArchiveScan
from indexer.store.location import absolute_path
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter, WriteCounts
from indexer.tag.tag_table import update_tags
from indexer.types import FileEntry, Progress, no_progress
from retrieval.errors import LibraryError
from retrieval.formatting import pluralize, printable
from retrieval.media.archives.archive import Opener, split_archive_path
from retrieval.system import cores
from retrieval.types import IndexMethod, Space

MIN_MISSING_FILES, MAX_MISSING_SHARE = (
    50,
    0.2,
)  # more missing files than both of these is a drive, not a decision
PREFETCH_PER_THREAD = 16  # pictures decoded ahead, a thread
MAX_REPORTED_FILES = 10  # files read in part that are named
REBUILD_AFTER_VECTORS = 50_000  # new vectors after which a long run builds an index before its end

ShouldRead = Callable[[bytes, FileEntry], bool]  # the root, a file that is new: whether to read it now


def read_always(root_path: bytes, entry: FileEntry) -> bool:
    """Read every file."""
    return True


@dataclass(frozen=True, slots=True)
class IndexRun:
    """One run: its writer, how it was asked for, and what it has done so far."""

    writer: LibraryWriter
    index_method: IndexMethod | Literal["auto"] | None
    confirm_gone: bool
    retry: bool
    progress: Progress
    should_read: ShouldRead = read_always
    report: Report = field(default_factory=Report)
    archives: dict[bytes, ArchiveScan] = field(default_factory=dict)  # by the folder they are in

    def scan(self, targets: Collection[ScanTarget]) -> None:
        """Look at places, read what is new in them, and give every known file its state."""
        roots, since = self.writer.roots, self.writer.roots.last_file_id()
        looked = [(place, found) for place in targets if (found := self.scan_target(place)) is not None]
        for place, changes in looked:
            self.index_new_files(place, changes.new_or_changed)
        missed = [old.id for _, changes in looked for old in changes.missing]
        roots.record_missing(missed, {place.root_id for place, _ in looked})
        for place, changes in looked:
            self.reconcile(place, changes, since)
        self.report.notes += _partial_file_notes(self.report.partly, self.writer)

    def finish(self, enrichment: EnrichmentOptions = DEFAULT_OPTIONS) -> None:
        """Do what follows from new segments, and what older runs have left."""
        self.backfill()
        self.update_indexes()
        before = self.report.segments
        self.enrich(enrichment)
        if self.report.segments > before:
            self.update_indexes()

    def scan_target(self, target: ScanTarget) -> Changes | None:
        """Compare a place with the catalogue; None where it is not there, and nothing of it is forgotten."""
        if target.is_offline:
            self.report.offline += self.writer.roots.mark_offline(target.root_id)
            self.report.notes.append(
                f"{os.fsdecode(target.folder)} is not there; its files are kept as offline until it is back."
            )
            return None
        walked, known = ScanIssues(), partial(self.writer.roots.catalog_files, target)
        archives = self.archives[target.folder] = ArchiveScan(self.writer.db, target, self.retry)
        found: Iterator[FileEntry] = iter(())
        if os.path.isdir(target.folder):  # else it was deleted while its root is there
            inside = archives.entries if target.recursive else None
            found = walk(
                target.root_path,
                target.options,
                walked,
                target.subpath,
                target.nested_roots,
                inside,
                target.recursive,
                target.name_stems,
            )
        changes = compare(found, known(), walked.unreadable, self.retry, known)
        archives.add_unchanged(changes)
        changes.new_or_changed = [
            found for found in changes.new_or_changed if self.should_read(target.root_path, found)
        ]
        self.report.skipped += walked.skipped
        return changes

    def index_new_files(self, target: ScanTarget, entries: Sequence[FileEntry]) -> None:
        """Read, embed and write what is new; what is cut short has lost at most the batch in hand."""
        done, built, begun = (
            0,
            _count_indexed_vectors(active_space(self.writer.catalog)),
            self.report.segments,
        )
        reads = iter_batches(self._read_files(target.root_path, entries))
        # A batch is embedded while the one before is written and the next are read.
        embedder = self.writer.embedder
        turns = embedder.concurrency
        for batch in prefetch(partial(embed_batch, embedder), reads, threads=turns, depth=turns + 1):
            self._add_counts(self.writer.write(target.root_id, batch))
            done += sum(portion.is_last for portion in batch)
            self.progress(os.fsdecode(target.root_path), done, len(entries))
            if self.report.segments - begun > max(REBUILD_AFTER_VECTORS, built):
                built, begun = (
                    _count_indexed_vectors(build_if_due(self.writer, self.index_method)),
                    self.report.segments,
                )

    def backfill(self) -> None:
        """Read and embed what was left while its files were away, or while this clew was older."""
        again = refresh_metadata(self.writer, partial(self.progress, "read again"))
        if again:
            self.report.notes.append(
                f"{pluralize(again, 'file')} read again for what older versions left out."
            )
        space = active_space(self.writer.catalog)
        if not space.complete:
            done, waiting = backfill_vectors(
                self.writer, space, self.writer.embedder, lambda done, total: None
            )
            self.writer.spaces.set_complete(space, not waiting)
            self.report.segments += done
        if self.writer.settings().tiles:
            tiles, pictures = add_tiles(self.writer, partial(self.progress, "tiles"))
            self.report.segments += tiles
            if tiles:
                made = f"{pluralize(tiles, 'tile')} of {pluralize(pictures, 'picture')}"
                note = f"{made} added, for small things in them."
                self.report.notes.append(note)

    def enrich(self, enrichment: EnrichmentOptions) -> None:
        """Read what takes long: text in pictures, speech, and sounds."""
        found = run_enrichment(
            self.writer, enrichment, self.progress, new_audio_count=self.report.kinds["audio"]
        )
        self.report.kinds += found.kinds
        self.report.segments += found.kinds.total()
        self.report.lacking += found.missing_extras
        self.report.notes += found.notes

    def update_indexes(self) -> None:
        """Build, calibrate and tag what is due."""
        space = build_if_due(self.writer, self.index_method)
        calibrate_if_due(self.writer, space, self.writer.embedder)
        update_tags(self.writer, space, self.writer.embedder)

    def _read_files(self, root_path: bytes, entries: Sequence[FileEntry]) -> Iterator[ReadResult]:
        """Read files in threads, a little ahead."""
        embedder, is_known = self.writer.embedder, self.writer.is_known
        contexts = {wanted: DecodeContext(embedder, wanted) for wanted in (False, True)}

        def work(turn: tuple[FileEntry, Opener | None]) -> ReadResult | None:
            found, opener = turn
            context = contexts[self.writer.thumbnails.is_accepting]
            return read_file(root_path, found, context, is_known, opener)

        threads = cores()
        turns = in_archive_order(entries, lambda found: os.path.join(root_path, found.path), len(entries))
        reads = prefetch(
            work, turns, threads=threads, depth=PREFETCH_PER_THREAD * threads, weight=_prefetch_weight
        )
        for one in reads:
            if one is not None:
                if one.missing_extra is not None:
                    self.report.lacking[one.missing_extra] += 1
                if one.decoded.note is not None:
                    self.report.partly.append(f"{os.fsdecode(one.entry.path)}: {one.decoded.note}.")
                yield one

    def _add_counts(self, written: WriteCounts) -> None:
        """Add what was written to the report."""
        self.report.added += written.files["added"]
        self.report.updated += written.files["updated"]
        self.report.failed += written.files["failed"]
        self.report.segments += written.segments.total()
        self.report.kinds += written.segments

    def reconcile(self, target: ScanTarget, changes: Changes, since: int) -> None:
        """Give every known file its state, now that the new files of all places are hashed."""
        report, roots, folder = self.report, self.writer.roots, os.fsdecode(target.folder)
        report.unchanged += changes.unchanged
        roots.set_state(changes.returned, "present")
        report.failed += changes.failed
        missing, moved = roots.resolve_moves(changes.missing, since)
        report.moved += moved
        report.added -= moved
        report.gone += len(changes.missing) - len(missing) - moved  # another copy of it is there
        out = {old.id for old in missing if _is_excluded(os.path.join(target.root_path, old.path))}
        report.gone += roots.set_state(sorted(out), "gone")  # left out now, by a pattern or a name
        lost = [old for old in missing if old.id not in out]
        known = changes.known_count
        if len(lost) > MIN_MISSING_FILES and (target.subpath or not target.recursive):
            known = roots.count_files(target.root_id)
        brake = len(lost) > max(MIN_MISSING_FILES, MAX_MISSING_SHARE * known)
        held = [old.id for old in lost if (brake or old.state == "offline") and not self.confirm_gone]
        kept = set(held)
        roots.set_state(held, "offline")
        report.gone += roots.set_state([old.id for old in lost if old.id not in kept], "gone")
        report.offline += len(held) + len(changes.unreadable)
        if held:
            report.notes.append(
                f"{len(held):,} of {known:,} files of {os.fsdecode(target.root_path)} are not there, "
                f"which looks "
                "like a drive that is away, so they are kept as offline. If they are really deleted: "
                "`clew index --confirm-gone`."
            )
        if changes.unreadable:
            report.notes.append(
                f"Some of {folder} cannot be looked at; "
                f"{len(changes.unreadable):,} files there stay as they were."
            )
        self.archives[target.folder].save()
        roots.mark_scanned(target.root_id)


def _is_excluded(path: bytes) -> bool:
    """Say whether a file that was not found is there, or the archive is that it was in."""
    return os.path.lexists(path) or split_archive_path(path) is not None


def _partial_file_notes(partly: Sequence[str], writer: LibraryWriter) -> Iterator[str]:
    """Say what of this run's files was left out, of many the first few."""
    waiting = [
        f"{os.fsdecode(path)}: {pluralize(missing, 'picture')} of the {named:,} it names "
        f"{'is' if missing == 1 else 'are'} not there; the captions wait for them."
        for path, missing, named in writer.captions.missing_images()
    ]
    every = [*partly, *waiting]
    yield from map(printable, every[:MAX_REPORTED_FILES])
    if len(every) > MAX_REPORTED_FILES:
        yield f"{len(every) - MAX_REPORTED_FILES:,} more files are read in part only."


def _count_indexed_vectors(space: Space) -> int:
    """Count the vectors that the indexes hold."""
    return sum(file.count for file in space.indexes)


def _prefetch_weight(read: ReadResult | None) -> int:
    """Weigh a file by its segments, so that a few long texts fill the look-ahead as many pictures do."""
    return 1 if read is None else 1 + len(read.decoded.drafts) // 100


def update_folders(
    writer: LibraryWriter,
    folders: Sequence[Path],
    *,
    exclude: Sequence[str] | None = None,
    hidden: bool | None = None,
    archives: bool | None = None,
    index: IndexMethod | Literal["auto"] | None = None,
    confirm_gone: bool = False,
    retry: bool = False,
    tiles: bool | None = None,
    enrichment: EnrichmentOptions = DEFAULT_OPTIONS,
    progress: Progress = no_progress,
    should_read: ShouldRead = read_always,
) -> Report:
    """Bring these folders up to date, or all that the library has, and build its index if it is due."""
    begun = monotonic()
    if tiles is not None:
        writer.save_settings(replace(writer.settings(), tiles=tiles))
    run, roots = IndexRun(writer, index, confirm_gone, retry, progress, should_read), writer.roots
    known = roots.paths()
    given = [absolute_path(folder) for folder in folders]
    for folder in given:
        if folder not in known and not os.path.isdir(folder):
            raise LibraryError(f"There is no folder {os.fsdecode(folder)}.")
    above = tuple(path.rstrip(b"/") + b"/" for path in given)
    inside = [path for path in known if not given or path.startswith(above)]
    with writer.db.atomic():
        save_options(writer, enrichment)
        places = {path: roots.register(path, exclude, hidden, archives) for path in given}
        places |= {path: roots.register(path) for path in inside if path not in places}
    # A part of what is given too is done with it.
    places = {path: place for path, place in places.items() if not (place.subpath and path.startswith(above))}
    try:
        run.scan(places.values())
        run.finish(enrichment)
        run.report.notes += filter(None, [writer.thumbnails.note])
    except KeyboardInterrupt:  # what is committed stays, and the next run goes on from there
        run.report.interrupted = True
    run.report.seconds = round(monotonic() - begun, 3)
    return run.report
