"""Where roots, and the states of their files, are written."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import cast

import sqlite_utils

from indexer.scan.diff import CatalogFile
from indexer.scan.rules import ScanOptions, is_included
from indexer.scan.sidecars import name_stem
from indexer.scan.targets import ScanTarget, is_empty_or_missing, path_range, subpath_of
from retrieval.errors import LibraryError

_CATALOG_FILES = """SELECT id, path, size, mtime, reader, picture, state, error IS NOT NULL, retry
              FROM files WHERE root = ?"""


class Roots:
    """The roots of a catalogue; each change is one transaction."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self.db = db

    def paths(self) -> list[bytes]:
        """Return the paths of all roots, in order."""
        return [row["path"] for row in self.db.query("SELECT path FROM roots ORDER BY path")]

    def register(
        self,
        path: bytes,
        exclude: Sequence[str] | None = None,
        hidden: bool | None = None,
        archives: bool | None = None,
    ) -> ScanTarget:
        """Return the place of a folder: a root, a new root, or a part of one that does not leave it out.

        What is None stays as it is remembered. Raises LibraryError where a part of a root is to be
        scanned otherwise than the root.
        """
        roots = sorted(self.all(), key=lambda root: -len(root.root_path))
        own = next((root for root in roots if root.root_path == path), None)
        for root in roots if own is None else ():  # the innermost first
            below = subpath_of(path, root.root_path)
            if below and is_included(root.options, below):
                if exclude is None and hidden is None and archives is None:
                    return root._replace(
                        subpath=below, nested_roots=self._nested_roots(root.root_path, roots)
                    )
                raise LibraryError(
                    f"{os.fsdecode(path)} is part of {os.fsdecode(root.root_path)}, which is scanned "
                    f"in one way; "
                    "give that folder to change what is left out."
                )
        old = ScanOptions() if own is None else own.options
        options = ScanOptions(
            exclude=old.exclude if exclude is None else list(exclude),
            hidden=old.hidden if hidden is None else hidden,
            mount=os.path.ismount(path) or (old.mount and is_empty_or_missing(path)),
            archives=old.archives if archives is None else archives,
        )
        row = {"path": path, "options": json.dumps(options._asdict()), "state": "present"}
        if own is None:
            id_ = cast(int, self.db.table("roots").insert(row, pk="id").last_pk)
        else:
            id_ = own.root_id
            self.db.table("roots").update(id_, {"options": row["options"]})
        return ScanTarget(id_, path, options, nested_roots=self._nested_roots(path, roots))

    def target_at(self, path: bytes, *, recursive: bool) -> ScanTarget | None:
        """Return the place of a folder that is a root or in one; None where it is left out, or in none."""
        roots = self.all()
        for root in sorted(roots, key=lambda root: -len(root.root_path)):  # the innermost first
            below = b"" if path == root.root_path else subpath_of(path, root.root_path)
            if below is not None:
                apart = self._nested_roots(root.root_path, roots)
                fits = not below or is_included(root.options, below)
                return root._replace(subpath=below, nested_roots=apart, recursive=recursive) if fits else None
        return None

    def all(self) -> list[ScanTarget]:
        """Return every root."""
        rows = self.db.query("SELECT id, path, options FROM roots")
        return [ScanTarget(row["id"], row["path"], ScanOptions(**json.loads(row["options"]))) for row in rows]

    def _nested_roots(self, path: bytes, roots: Sequence[ScanTarget]) -> frozenset[bytes]:
        """Return the paths below this one that are roots of their own."""
        return frozenset(below for root in roots if (below := subpath_of(root.root_path, path)))

    def catalog_files(self, target: ScanTarget, after: bytes = b"") -> Iterator[CatalogFile]:
        """Yield the files of a place as the catalogue has them, in the byte order of their paths.

        `behind` is a folder, with its slash, whose files and those before them are passed over.
        """
        if target.name_stems:
            return iter(sorted(self._files_with_stems(target), key=lambda known: known.path))
        query = f"{_CATALOG_FILES} {{}} ORDER BY path"
        tests: str = ""
        values: list[object] = [target.root_id]
        if target.subpath or after:
            first, last = path_range(target.subpath)
            tests = "AND path >= ? AND path < ?"
            values += [path_range(after[:-1])[1] if after else first, last]
        if not target.recursive:
            tests += " AND instr(substr(path, ?), x'2f') = 0"
            values.append(len(target.subpath) + 2 if target.subpath else 1)
        return map(CatalogFile._make, self.db.execute(query.format(tests), values))

    def _files_with_stems(self, target: ScanTarget) -> Iterator[CatalogFile]:
        query = f"{_CATALOG_FILES} AND path >= ? AND path < ?"
        stem = target.subpath + b"/" if target.subpath else b""
        for first in target.name_stems:
            for row in self.db.execute(query, (target.root_id, stem + first, stem + first + b"/")):
                known = CatalogFile._make(row)  # a-b.jpg lies between a and a/, too
                if b"/" not in known.path[len(stem) :] and name_stem(known.path[len(stem) :]) == first:
                    yield known

    def count_files(self, root: int) -> int:
        """Count the files of a root that are not gone."""
        query = "SELECT count(*) FROM files WHERE root = ? AND state != 'gone'"
        return int(self.db.execute(query, (root,)).fetchone()[0])

    def last_file_id(self) -> int:
        """Return the newest file's id; files added later have larger ones."""
        return int(self.db.execute("SELECT coalesce(max(id), 0) FROM files").fetchone()[0])

    def set_state(self, files: Sequence[int], state: str) -> int:
        """Set the state of these files; returns how many changed."""
        query = "UPDATE files SET state = ?1 WHERE id = ?2 AND state != ?1"
        with self.db.atomic():
            return sum(self.db.execute(query, (state, id_)).rowcount for id_ in files)

    def mark_scanned(self, root: int) -> None:
        """Note that a root is there and was scanned now."""
        now = datetime.now().isoformat(" ", "seconds")
        self.db.table("roots").update(root, {"state": "present", "scanned": now})

    def mark_offline(self, root: int) -> int:
        """Note that a root is not there; returns how many of its files are away with it."""
        self.db.table("roots").update(root, {"state": "offline"})
        return self.count_files(root)

    def record_missing(self, missing: Iterable[int], scanned_roots: Iterable[int]) -> None:
        """Note which files this run misses, and in which roots it has looked, for `settle_moved`."""
        with self.db.atomic():
            for name, ids in (("missing", missing), ("looked", scanned_roots)):
                self.db.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} (id INTEGER PRIMARY KEY)")
                self.db.execute(f"DELETE FROM temp.{name}")
                self.db.conn.executemany(f"INSERT OR IGNORE INTO temp.{name} VALUES (?)", ((i,) for i in ids))

    def resolve_moves(self, missing: Sequence[CatalogFile], since_id: int) -> tuple[list[CatalogFile], int]:
        """Drop the rows of missing files whose content is elsewhere too.

        Returns those that are left, and how many moved: to a place that is newer than `since`.
        """
        elsewhere = """SELECT f.content, count(*) FILTER (WHERE f.id > ?1) FROM files own
                         JOIN files f ON f.content = own.content AND f.state = 'present'
                        WHERE own.id = ?2 AND f.id NOT IN temp.missing AND f.root IN temp.looked GROUP BY 1"""
        left, taken = list[CatalogFile](), Counter[int]()
        moved = 0
        with self.db.atomic():
            for old in missing:
                row = self.db.execute(elsewhere, (since_id, old.id)).fetchone()
                if row is None:
                    left.append(old)
                    continue
                moved += taken[row[0]] < row[1]
                taken[row[0]] += 1
                self.db.execute("DELETE FROM files WHERE id = ?", (old.id,))
        return left, moved

    def forget(self, paths: Sequence[bytes]) -> int:
        """Drop roots and their files; what they held stays until it is purged. Returns how many files."""
        roots = {root.root_path: root.root_id for root in self.all()}
        for path in paths:
            if path not in roots:
                raise LibraryError(
                    f"{os.fsdecode(path)} is not one of this library's folders; `clew status` lists them."
                )
        count = 0
        with self.db.atomic():
            for path in paths:
                count += self.db.execute("DELETE FROM files WHERE root = ?", (roots[path],)).rowcount
                self.db.execute("DELETE FROM roots WHERE id = ?", (roots[path],))
        return count
