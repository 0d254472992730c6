"""Set the states of known files after a scan: present, moved, offline or gone."""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from indexer.operations.report import Report
from indexer.scan.diff import CatalogFile, Changes, accept_touched, read_touched
from indexer.scan.rules import is_included
from indexer.scan.targets import ScanTarget
from indexer.store.roots import Roots
from retrieval.file_systems import REMOTE_PATH
from retrieval.formatting import pluralize, printable
from retrieval.media.archives.archive import split_archive_path

# More missing files than both of these are taken for a drive that is disconnected.
MIN_MISSING_FILES = 50
MAX_MISSING_SHARE = 0.2  # of the files of the target
MAX_NAMED_PATHS = 5  # unreadable folders and files that a note names

ScannedTarget = tuple[ScanTarget, Changes]


@dataclass(frozen=True, slots=True)
class MissingFiles:
    """Ids of missing files by the state that they get."""

    gone: list[int]
    offline: list[int]


def too_many_missing(missing_count: int, known_count: int) -> bool:
    """Return True if so many files are missing that a drive seems to be disconnected."""
    return missing_count > max(MIN_MISSING_FILES, MAX_MISSING_SHARE * known_count)


def accept_mass_touch(roots: Roots, target: ScanTarget, changes: Changes) -> list[str]:
    """Accept files whose ctime alone differs if they are many, and return a note; otherwise read them.

    A backup that is restored, or `chmod -R`, changes the ctime of many files; these are taken as unchanged.
    """
    notes = []
    if too_many_missing(len(changes.touched), _known_count(roots, target, changes, len(changes.touched))):
        files = pluralize(accept_touched(changes), "file")
        folder = os.fsdecode(target.folder)
        notes.append(
            f"{files} in {folder} have the same size and time, but were copied or restored, or their "
            "permissions have changed. They are not read again. To do so: "
            f"clew index --again {shlex.quote(folder)}"
        )
    read_touched(changes)
    roots.save_ctimes(changes.new_ctimes)
    return [printable(note) for note in notes]


def _known_count(roots: Roots, target: ScanTarget, changes: Changes, count: int) -> int:
    """Return the number of known files of a target; of its root if it is a part with many changes."""
    if count > MIN_MISSING_FILES and (target.subpath or not target.recursive):
        return roots.count_files(target.root_id)
    return changes.known_count


def classify_missing(
    missing: Sequence[CatalogFile], known_count: int, *, confirm_gone: bool = False
) -> MissingFiles:
    """Return which missing files are gone, and which are kept as offline.

    Files that are offline already stay so. `confirm_gone` makes all of them gone.
    """
    keep_all = too_many_missing(len(missing), known_count)
    offline = [old.id for old in missing if not confirm_gone and (keep_all or old.state == "offline")]
    kept = set(offline)
    return MissingFiles([old.id for old in missing if old.id not in kept], offline)


def exists_on_disk(target: ScanTarget, path: bytes) -> bool:
    """Return True if a missing file of a target exists, and is excluded now.

    In an archive, which is opened by the scan, only excluded files exist.
    """
    full_path = os.path.join(target.root_path, path)
    if os.path.lexists(full_path):
        return True
    is_scanned = (
        target.options.archives
        and is_included(target.options, path)
        and not path.startswith(tuple(nested + b"/" for nested in target.nested_roots))
    )
    return not is_scanned and split_archive_path(full_path) is not None


def reconcile(
    roots: Roots,
    scans: Sequence[ScannedTarget],
    since_id: int,
    report: Report,
    *,
    confirm_gone: bool = False,
    exists: Callable[[ScanTarget, bytes], bool] = exists_on_disk,
) -> None:
    """Set the state of all known files of scanned targets, and count them in `report`.

    Call it after the new files of all targets have been written: files with ids above `since_id`. In this
    order: files that returned are present; missing files whose content is in a new file have moved; those
    that exist on disk are excluded now, and gone; the others are offline or gone.
    """
    for _, changes in scans:
        report.unchanged += changes.unchanged
        report.failed += changes.failed
        roots.set_state(changes.returned, "present")
    missing = [old for _, changes in scans for old in changes.missing]
    moves = roots.resolve_moves(missing, {target.root_id for target, _ in scans}, since_id)
    report.moved += moves.moved_count
    report.added -= moves.moved_count
    report.gone += len(moves.removed) - moves.moved_count
    for target, changes in scans:
        roots.set_state([old.id for old in changes.disconnected], "offline")
        left = [old for old in changes.missing if old.id not in moves.removed]
        excluded = {old.id for old in left if exists(target, old.path)}
        report.gone += roots.set_state(sorted(excluded), "gone")
        left = [old for old in left if old.id not in excluded]
        known_count = _known_count(roots, target, changes, len(left))
        states = classify_missing(left, known_count, confirm_gone=confirm_gone)
        roots.set_state(states.offline, "offline")
        report.gone += roots.set_state(states.gone, "gone")
        report.offline += len(states.offline) + len(changes.disconnected)
        report.unchanged += len(changes.unreadable)
        report.notes += _notes(target, states, changes, known_count)
        unseen = (states.offline, changes.disconnected, changes.unreadable)
        roots.mark_scanned(target, is_complete=not any(unseen))


def keep_offline(
    roots: Roots, targets: Sequence[ScanTarget], report: Report, *, confirm_gone: bool = False
) -> None:
    """Count the files of offline roots, with a note on each root. Call it after `reconcile`.

    `confirm_gone` makes those gone whose content is present in another root: they have been moved there.
    """
    for target in targets:
        folder = os.fsdecode(target.root_path)
        is_remote = REMOTE_PATH.match(folder) is not None  # imported; there is nothing to scan
        gone = roots.set_copies_gone(target.root_id) if confirm_gone and not is_remote else 0
        offline = roots.count_files(target.root_id)
        report.gone += gone
        report.offline += offline
        if is_remote:
            continue
        if offline or not gone:
            note = f"{folder} is missing. Its files are kept as offline until it returns."
        else:
            note = (
                f"{folder} is missing, and all of its files are in other folders. If it will not return: "
                f"clew forget {shlex.quote(folder)}"
            )
        report.notes.append(printable(note))


def _notes(target: ScanTarget, states: MissingFiles, changes: Changes, known_count: int) -> list[str]:
    """Return notes on files that are offline or could not be checked."""
    notes = []
    if states.offline:
        notes.append(
            f"{len(states.offline):,} of {known_count:,} files of {os.fsdecode(target.root_path)} are "
            "missing. Their drive may be disconnected, so they are kept as offline. If they have been "
            "deleted, run `clew index --confirm-gone`."
        )
    if changes.disconnected:
        names = ", ".join(
            os.fsdecode(os.path.join(target.root_path, path) if path else target.root_path)
            for path in changes.disconnected_paths
        )
        files = pluralize(len(changes.disconnected), "file")
        notes.append(
            f"The drive of {names} is not connected. {files} there "
            f"{'is' if len(changes.disconnected) == 1 else 'are'} kept as offline until it returns; if "
            "deleted, run `clew index --confirm-gone`."
        )
    shown, more = changes.unreadable_paths[:MAX_NAMED_PATHS], len(changes.unreadable_paths) - MAX_NAMED_PATHS
    if shown:
        names = ", ".join(os.fsdecode(os.path.join(target.root_path, path)) for path in shown)
        count = len(changes.unreadable)
        kept = f" {pluralize(count, 'known file')} in there {'is' if count == 1 else 'are'} kept unchanged."
        notes.append(f"Cannot read {names}{f' and {more:,} more' * (more > 0)}.{kept * (count > 0)}")
    return [printable(note) for note in notes]
