"""Where roots, and the states of their files, are written."""

import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, cast

import sqlite_utils

from indexer.changes import Known
from indexer.walk import Options
from retrieval.errors import LibraryError


class Place(NamedTuple):
    """A folder to index: its root, how that is scanned, and the folder's path below it."""

    root: int
    top: bytes
    options: Options
    below: bytes = b""


class Roots:
    """The roots of a catalogue; each change is one transaction."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self.db = db

    def paths(self) -> list[bytes]:
        """Return the paths of all roots, in order."""
        return [row["path"] for row in self.db.query("SELECT path FROM roots ORDER BY path")]

    def place(self, path: bytes, exclude: Sequence[str] | None = None, hidden: bool | None = None) -> Place:
        """Return the place of a folder; a new folder becomes a root, and takes in the roots inside it.

        What is None stays as it is remembered. Raises LibraryError where a part of a root is to be
        scanned otherwise than the root.
        """
        roots = [
            Place(row["id"], row["path"], Options(**json.loads(row["options"])))
            for row in self.db.query("SELECT id, path, options FROM roots")
        ]
        for root in roots:
            if below := _below(path, root.top):
                if exclude is None and hidden is None:
                    return root._replace(below=below)
                raise LibraryError(
                    f"{os.fsdecode(path)} is part of {os.fsdecode(root.top)}, which is scanned in one way; "
                    "give that folder to change what is left out."
                )
        inside = [root for root in roots if _below(root.top, path) is not None]
        patterns = [pattern for root in inside for pattern in root.options.exclude]
        options = Options(
            exclude=list(dict.fromkeys(patterns if exclude is None else exclude)),
            hidden=any(root.options.hidden for root in inside) if hidden is None else hidden,
            mount=os.path.ismount(path) or any(r.options.mount for r in inside if r.top == path),
        )
        return self._write(path, options, inside)

    def _write(self, path: bytes, options: Options, inside: Sequence[Place]) -> Place:
        """Insert or update a root, and make the files of other roots inside it its own."""
        with self.db.atomic():
            row = {"path": path, "options": json.dumps(options._asdict()), "state": "present"}
            own = next((root.root for root in inside if root.top == path), None)
            if own is None:
                own = cast(int, self.db.table("roots").insert(row, pk="id").last_pk)
            else:
                self.db.table("roots").update(own, {"options": row["options"]})
            for root in inside:
                if root.root != own:
                    prefix = (_below(root.top, path) or b"") + b"/"
                    self.db.execute(
                        """UPDATE files SET root = ?, path = CAST(? || path AS BLOB),
                                  picture = CAST(? || picture AS BLOB) WHERE root = ?""",
                        (own, prefix, prefix, root.root),
                    )
                    self.db.execute("DELETE FROM roots WHERE id = ?", (root.root,))
        return Place(own, path, options)

    def known(self, place: Place) -> Iterator[Known]:
        """Yield the files of a place as the catalogue has them, in the byte order of their paths."""
        query = """SELECT id, path, size, mtime, reader, picture, state, error IS NOT NULL
                     FROM files WHERE root = ? {} ORDER BY path"""
        if not place.below:
            return map(Known._make, self.db.execute(query.format(""), (place.root,)))
        ends = (place.below + b"/", place.below + b"0")  # what begins with the first is before the second
        rows = self.db.execute(query.format("AND path > ? AND path < ?"), (place.root, *ends))
        return map(Known._make, rows)

    def last_file(self) -> int:
        """Return the newest file's id; files added later have larger ones."""
        return int(self.db.execute("SELECT coalesce(max(id), 0) FROM files").fetchone()[0])

    def set_state(self, files: Sequence[int], state: str) -> int:
        """Set the state of these files; returns how many changed."""
        query = "UPDATE files SET state = ?1 WHERE id = ?2 AND state != ?1"
        with self.db.atomic():
            return sum(self.db.execute(query, (state, id_)).rowcount for id_ in files)

    def scanned(self, root: int) -> None:
        """Note that a root is there and was scanned now."""
        now = datetime.now().isoformat(" ", "seconds")
        self.db.table("roots").update(root, {"state": "present", "scanned": now})

    def lose(self, root: int) -> int:
        """Note that a root is not there; returns how many files went offline with it."""
        with self.db.atomic():
            self.db.table("roots").update(root, {"state": "offline"})
            query = "UPDATE files SET state = 'offline' WHERE root = ? AND state = 'present'"
            return int(self.db.execute(query, (root,)).rowcount)

    def settle_moved(self, missing: Sequence[Known], since: int) -> list[Known]:
        """Drop the rows of missing files whose content a file newer than `since` has; return the rest."""
        query = """DELETE FROM files WHERE id = ? AND EXISTS (
                       SELECT 1 FROM files f
                        WHERE f.content = files.content AND f.id > ? AND f.state = 'present')"""
        with self.db.atomic():
            return [old for old in missing if not self.db.execute(query, (old.id, since)).rowcount]

    def forget(self, path: bytes) -> int:
        """Drop a root and its files; what they held stays until it is purged. Returns how many files."""
        with self.db.atomic():
            row = self.db.execute("SELECT id FROM roots WHERE path = ?", (path,)).fetchone()
            if row is None:
                raise LibraryError(
                    f"{os.fsdecode(path)} is not one of this library's folders; `clew status` lists them."
                )
            count = int(self.db.execute("DELETE FROM files WHERE root = ?", row).rowcount)
            self.db.execute("DELETE FROM roots WHERE id = ?", row)
        return count


def _below(path: bytes, root: bytes) -> bytes | None:
    """Return the path under the root, b"" for the root itself, None where it is not below it."""
    if path == root:
        return b""
    stem = root.rstrip(b"/") + b"/"
    return path[len(stem) :] if path.startswith(stem) else None
