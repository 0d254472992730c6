"""Compare a walk with what the catalogue knows: two streams in path order, merged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from indexer.types import FileEntry

UNCHANGED_ARCHIVE = "as it was"  # the reader of an archive that is not opened, as what it holds is known


class CatalogFile(NamedTuple):
    """A file as the catalogue has it."""

    id: int
    path: bytes
    size: int
    mtime: int
    decoder: str
    sidecar_of: bytes | None
    state: str
    failed: bool
    retry: bool = False


@dataclass(slots=True)
class Changes:
    """What is different from the catalogue."""

    new_or_changed: list[FileEntry] = field(default_factory=list)  # new, or other than it was
    returned: list[int] = field(default_factory=list)  # the same as before it went away
    missing: list[CatalogFile] = field(default_factory=list)  # not there
    unreadable: list[CatalogFile] = field(default_factory=list)  # below a folder that could not be read
    known_count: int = 0  # files that were not gone
    unchanged: int = 0
    failed: int = 0  # unchanged, and could not be read before


def compare(
    entries: Iterator[FileEntry],
    catalog_files: Iterator[CatalogFile],
    unreadable: list[bytes],
    retry: bool,
    catalog_files_after: Callable[[bytes], Iterator[CatalogFile]] | None = None,
) -> Changes:
    """Merge two streams in path order into what has changed; memory grows with the changes alone.

    `behind` returns the known files that are behind a folder, so that those in an archive that is as it was
    need not be read.
    """
    changes = Changes()
    new, old = next(entries, None), next(catalog_files, None)
    while new is not None or old is not None:
        if old is None or (new is not None and new.path < old.path):
            assert new is not None
            if new.decoder != UNCHANGED_ARCHIVE:
                changes.new_or_changed.append(new)
            elif old is not None and catalog_files_after is not None and old.path.startswith(new.path):
                catalog_files = catalog_files_after(new.path)
                old = next(catalog_files, None)
            new = next(entries, None)
        elif new is None or old.path < new.path:
            if old.state != "gone":
                changes.known_count += 1
                changes.missing.append(old)
            old = next(catalog_files, None)
        else:
            changes.known_count += old.state != "gone"
            _compare_entry(new, old, changes, retry)
            new, old = next(entries, None), next(catalog_files, None)
    _separate_unreadable(changes, unreadable)
    return changes


def _compare_entry(new: FileEntry, old: CatalogFile, changes: Changes, retry: bool) -> None:
    """Sort a file that is both on disk and known."""
    if new[1:] != old[2:6] or old.retry or (retry and old.failed):
        changes.new_or_changed.append(new)
    else:
        changes.failed += old.failed
        changes.unchanged += not old.failed
        if old.state != "present":
            changes.returned.append(old.id)


def _separate_unreadable(changes: Changes, unreadable: list[bytes]) -> None:
    """Files that could not be looked at, or below such a folder, are not missing."""
    if unreadable:
        names = frozenset(unreadable)
        unseen = {
            old.id for old in changes.missing if any(path in names for path in _path_and_parents(old.path))
        }
        changes.unreadable = [old for old in changes.missing if old.id in unseen]
        changes.missing = [old for old in changes.missing if old.id not in unseen]


def _path_and_parents(path: bytes) -> Iterator[bytes]:
    """Yield a path and every folder above it, down to the root, which is empty."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
    yield b""
