"""Record the changes of files in the catalog with SQLite triggers."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from os import fsdecode
from pathlib import Path
from typing import Literal, NamedTuple

from indexer.sqlite_tools import sqlite_utils

ChangeType = Literal["added", "updated", "moved", "gone", "offline", "back", "failed"]

_OLD_COLUMNS, _NEW_COLUMNS = (
    f"{row}.root, {row}.path, {row}.state, {row}.content, {row}.error" for row in ("old", "new")
)
_NULL_COLUMNS = "NULL, NULL, NULL, NULL, NULL"
# Temporary triggers and an in-memory table, visible to this connection only.
_SETUP_STATEMENTS = (
    "PRAGMA temp_store = MEMORY",
    f"""CREATE TEMP TABLE changed AS SELECT {', '.join(
        f'NULL AS {name}_{when}' for when in ('old', 'new')
        for name in ('root', 'path', 'state', 'content', 'error'))} WHERE 0""",
    f"""CREATE TEMP TRIGGER file_in AFTER INSERT ON main.files
        BEGIN INSERT INTO changed VALUES ({_NULL_COLUMNS}, {_NEW_COLUMNS}); END""",
    f"""CREATE TEMP TRIGGER file_to AFTER UPDATE OF state, content, error ON main.files
        WHEN (old.state, old.content, old.error) IS NOT (new.state, new.content, new.error)
        BEGIN INSERT INTO changed VALUES ({_OLD_COLUMNS}, {_NEW_COLUMNS}); END""",
    f"""CREATE TEMP TRIGGER file_out AFTER DELETE ON main.files
        BEGIN INSERT INTO changed VALUES ({_OLD_COLUMNS}, {_NULL_COLUMNS}); END""",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a file; `was` is its path before a move, `reason` why it could not be read."""

    change: ChangeType
    path: Path
    was: Path | None = None
    reason: str | None = None


class FileState(NamedTuple):
    """A row of `files` before or after a change; all None for no row."""

    root: int | None
    path: bytes | None
    state: str | None
    content: int | None
    error: str | None


class ChangeLog:
    """The changes that a connection makes from now on."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self.db = db
        for step in _SETUP_STATEMENTS:
            db.conn.execute(step)

    def changes(self) -> list[Change]:
        """Return the net change of each file, in path order."""
        roots = {row["id"]: row["path"] for row in self.db.query("SELECT id, path FROM roots")}
        net: dict[tuple[int, bytes], tuple[FileState, FileState]] = {}
        for row in self.db.conn.execute("SELECT * FROM changed ORDER BY rowid"):
            old, new = FileState(*row[:5]), FileState(*row[5:])
            side = new if new.path is not None else old
            assert side.root is not None
            assert side.path is not None
            first, _ = net.get((side.root, side.path), (old, new))
            net[side.root, side.path] = first, new
        states = {
            fsdecode(roots[root].rstrip(b"/") + b"/" + path): sides
            for (root, path), sides in sorted(net.items())
            if root in roots
        }
        return list(_net_changes(states))


def _net_changes(states: dict[str, tuple[FileState, FileState]]) -> Iterator[Change]:
    """Yield the changes; a content that disappears at one path and appears at another has moved."""
    left = defaultdict[int | None, list[str]](list)
    for path, (old, new) in states.items():
        if new.state is None and _is_present_or_offline(old):
            left[old.content].append(path)
    for path, (old, new) in states.items():
        if new.state is None:
            continue
        is_new = new.content is not None and not _is_present_or_offline(old)
        was = left[new.content].pop() if is_new and left.get(new.content) else None
        what = "moved" if was is not None else _change_type(old, new)
        if what is not None:
            yield Change(what, Path(path), None if was is None else Path(was), new.error)
    for paths in left.values():  # the content has another copy
        yield from (Change("gone", Path(path)) for path in paths)


def _change_type(old: FileState, new: FileState) -> ChangeType | None:
    if new.state == "gone":
        return "gone" if _is_present_or_offline(old) else None
    if new.state == "offline":
        return "offline"
    if new.error is not None:
        return "failed" if (old.error, old.content) != (new.error, new.content) else None
    if not _is_present_or_offline(old):
        return "added"
    if old.content != new.content or old.error is not None:
        return "updated"
    return "back" if old.state == "offline" else None


def _is_present_or_offline(side: FileState) -> bool:
    return side.state not in (None, "gone")
