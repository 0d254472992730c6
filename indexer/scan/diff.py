"""Compare the files on disk with the catalog by merging two streams in path order."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain
from typing import Literal, NamedTuple

from indexer.scan.entry_list import EntryList
from indexer.types import FileEntry

# Unchanged files that are read again: none, those that failed earlier or were read in part, or all.
Reread = Literal["none", "failed", "all"]


class UnchangedArchive(NamedTuple):
    """An archive that was not opened, in place of its files, and the counts of the last scan."""

    path: bytes  # with a slash at the end
    read_count: int
    failed_count: int
    has_error: bool  # a part of the archive could not be read


class CatalogFile(NamedTuple):
    """A file as stored in the catalog: its id, the fields of a FileEntry, and its state."""

    id: int
    path: bytes
    size: int
    mtime: int
    decoder: str
    sidecar_of: bytes | None
    ctime: int | None  # unknown in a library of an earlier version
    state: str
    failed: bool
    retry: bool = False
    partial: bool = False  # a part of it could not be read


# The fields of a CatalogFile, before they are made one: most are only compared.
CatalogRow = tuple[int, bytes, int, int, str, bytes | None, int | None, str, bool, bool, bool]
_READ = ("present", False, False, False)  # the last fields of a file that was read without errors


@dataclass(slots=True)
class UncheckedPaths:
    """Paths whose known files, in or below them, are kept because they cannot be checked."""

    unreadable: list[bytes] = field(default_factory=list)  # files and folders
    damaged: list[bytes] = field(default_factory=list)  # archives and their members


@dataclass(slots=True)
class Changes:
    """Differences between a scanned folder and the catalog."""

    new_or_changed: EntryList = field(default_factory=EntryList)
    touched: list[tuple[FileEntry, CatalogFile]] = field(default_factory=list)  # only their ctime differs
    new_ctimes: list[tuple[int, int]] = field(default_factory=list)  # to store, and the id of the file
    returned: list[int] = field(default_factory=list)  # unchanged files that were offline or gone
    missing: list[CatalogFile] = field(default_factory=list)
    unreadable: list[CatalogFile] = field(default_factory=list)  # in or below a path that cannot be read
    unreadable_paths: list[bytes] = field(default_factory=list)
    disconnected: list[CatalogFile] = field(default_factory=list)  # below a mount or link of a missing drive
    disconnected_paths: list[bytes] = field(default_factory=list)
    known_count: int = 0  # files in the catalog that were not gone
    unchanged: int = 0
    failed: int = 0  # unchanged files that failed earlier


def compare(
    entries: Iterable[FileEntry | UnchangedArchive],
    catalog_rows: Callable[[bytes], Iterator[CatalogRow]],
    unchecked: UncheckedPaths,
    reread: Reread = "none",
) -> Changes:
    """Merge files on disk and in the catalog, both in path order; memory grows with the changes only.

    `catalog_rows(folder)` yields the known files after a folder with its slash, from b"" on: the files of an
    unchanged archive are skipped by it. `unchecked` is filled while `entries` is consumed. Files to
    `reread` count as changed.
    """
    changes, unchanged = Changes(), 0
    known = catalog_rows(b"")
    row = next(known, None)
    for new in entries:
        # Nearly all files take this branch, so it compares slices of tuples instead of fields.
        if row is not None and row[1:7] == new and row[7:] == _READ and reread != "all":
            unchanged += 1
            row = next(known, None)
            continue
        while row is not None and row[1] < new.path:
            _add_missing(CatalogFile(*row), changes)
            row = next(known, None)
        if not isinstance(new, FileEntry):
            _count_archive(new, changes)
            if row is not None and row[1].startswith(new.path):
                known = catalog_rows(new.path)
                row = next(known, None)
        elif row is None or row[1] != new.path:
            changes.new_or_changed.append(new)
        else:
            _compare_entry(new, CatalogFile(*row), changes, reread)
            row = next(known, None)
    for old in (CatalogFile(*rest) for rest in chain([] if row is None else [row], known)):
        _add_missing(old, changes)
    changes.unchanged += unchanged
    changes.known_count += unchanged
    _separate_unreadable(changes, unchecked)
    return changes


def _compare_entry(new: FileEntry, old: CatalogFile, changes: Changes, reread: Reread) -> None:
    """Add a file that is both on disk and in the catalog."""
    changes.known_count += old.state != "gone"
    if (
        new[:5] != old[1:6]
        or old.retry
        or reread == "all"
        or (reread == "failed" and (old.failed or old.partial))
    ):
        changes.new_or_changed.append(new)
    elif new.ctime is None or new.ctime == old.ctime:
        _add_unchanged(old, changes)
    elif old.ctime is None:
        changes.new_ctimes.append((new.ctime, old.id))
        _add_unchanged(old, changes)
    else:
        changes.touched.append((new, old))


def _add_missing(old: CatalogFile, changes: Changes) -> None:
    if old.state != "gone":
        changes.known_count += 1
        changes.missing.append(old)


def _add_unchanged(old: CatalogFile, changes: Changes) -> None:
    changes.failed += old.failed
    changes.unchanged += not old.failed
    if old.state != "present":
        changes.returned.append(old.id)


def accept_touched(changes: Changes) -> int:
    """Count the files whose ctime alone differs as unchanged, and return their number."""
    for new, old in changes.touched:
        changes.new_ctimes.append((new.ctime or 0, old.id))
        _add_unchanged(old, changes)
    count, changes.touched = len(changes.touched), []
    return count


def read_touched(changes: Changes) -> None:
    """Count the files whose ctime alone differs as changed: their bytes may differ too."""
    if changes.touched:
        touched = sorted(new for new, _ in changes.touched)
        changes.new_or_changed = EntryList(merge(changes.new_or_changed, touched))
        changes.touched = []


def _count_archive(archive: UnchangedArchive, changes: Changes) -> None:
    """Count the files of an archive that was not opened."""
    changes.known_count += archive.read_count + archive.failed_count
    changes.unchanged += archive.read_count
    changes.failed += archive.failed_count + archive.has_error


def _separate_unreadable(changes: Changes, unchecked: UncheckedPaths) -> None:
    """Move files that could not be checked, or whose folder could not, from missing to unreadable."""
    names, missing, used = {*unchecked.unreadable, *unchecked.damaged}, list[CatalogFile](), set[bytes]()
    if not names:
        return
    for old in changes.missing:
        above = names.intersection(path_and_parents(old.path))
        (changes.unreadable if above else missing).append(old)
        used |= above
    changes.missing = missing
    # Damaged archives are listed as failures; they are named here only if they keep known files.
    changes.unreadable_paths = [*unchecked.unreadable, *(path for path in unchecked.damaged if path in used)]


def separate_disconnected(changes: Changes, paths: list[bytes]) -> None:
    """Move the files in and below disconnected mounts and links from missing to disconnected."""
    if not paths:
        return
    names, missing, used = frozenset(paths), list[CatalogFile](), set[bytes]()
    for old in changes.missing:
        above = names.intersection(path_and_parents(old.path))
        (changes.disconnected if above else missing).append(old)
        used |= above
    changes.missing, changes.disconnected_paths = missing, sorted(used)


def path_and_parents(path: bytes) -> Iterator[bytes]:
    """Yield a path and every folder above it, up to the root, which is empty."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
    yield b""
