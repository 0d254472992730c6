"""Compare a walk with what the catalogue knows: two streams in path order, merged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from indexer.types import Found

AS_IT_WAS = "as it was"  # the reader of an archive that is not opened, as what it holds is known


class Known(NamedTuple):
    """A file as the catalogue has it."""

    id: int
    path: bytes
    size: int
    mtime: int
    reader: str
    picture: bytes | None
    state: str
    failed: bool
    retry: bool = False


@dataclass(slots=True)
class Changes:
    """What is different from the catalogue."""

    fresh: list[Found] = field(default_factory=list)  # new, or other than it was
    back: list[int] = field(default_factory=list)  # the same as before it went away
    missing: list[Known] = field(default_factory=list)  # not there
    unread: list[Known] = field(default_factory=list)  # below a folder that could not be read
    known: int = 0  # files that were not gone
    unchanged: int = 0
    failed: int = 0  # unchanged, and could not be read before


def compare(
    found: Iterator[Found],
    known: Iterator[Known],
    unread: list[bytes],
    retry: bool,
    behind: Callable[[bytes], Iterator[Known]] | None = None,
) -> Changes:
    """Merge two streams in path order into what has changed; memory grows with the changes alone.

    `behind` returns the known files that are behind a folder, so that those in an archive that is as it was
    need not be read.
    """
    changes = Changes()
    new, old = next(found, None), next(known, None)
    while new is not None or old is not None:
        if old is None or (new is not None and new.path < old.path):
            assert new is not None
            if new.reader != AS_IT_WAS:
                changes.fresh.append(new)
            elif old is not None and behind is not None and old.path.startswith(new.path):
                known = behind(new.path)
                old = next(known, None)
            new = next(found, None)
        elif new is None or old.path < new.path:
            if old.state != "gone":
                changes.known += 1
                changes.missing.append(old)
            old = next(known, None)
        else:
            changes.known += old.state != "gone"
            _compare_one(new, old, changes, retry)
            new, old = next(found, None), next(known, None)
    _set_apart(changes, unread)
    return changes


def _compare_one(new: Found, old: Known, changes: Changes, retry: bool) -> None:
    """Sort a file that is both on disk and known."""
    if new[1:] != old[2:6] or old.retry or (retry and old.failed):
        changes.fresh.append(new)
    else:
        changes.failed += old.failed
        changes.unchanged += not old.failed
        if old.state != "present":
            changes.back.append(old.id)


def _set_apart(changes: Changes, unread: list[bytes]) -> None:
    """Files that could not be looked at, or below such a folder, are not missing."""
    if unread:
        names = frozenset(unread)
        unseen = {old.id for old in changes.missing if any(path in names for path in _upwards(old.path))}
        changes.unread = [old for old in changes.missing if old.id in unseen]
        changes.missing = [old for old in changes.missing if old.id not in unseen]


def _upwards(path: bytes) -> Iterator[bytes]:
    """Yield a path and every folder above it, down to the root, which is empty."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]
    yield b""
