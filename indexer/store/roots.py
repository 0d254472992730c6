"""Write the roots of a library and the states of their files."""

import json
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, cast

from indexer.scan.diff import CatalogFile, CatalogRow
from indexer.scan.pattern_paths import merge_patterns, patterns_below
from indexer.scan.rules import ScanOptions, is_included
from indexer.scan.sidecars import name_stem
from indexer.scan.targets import ScanTarget, is_empty_or_missing, path_range, subpath_of
from indexer.sqlite_tools import sqlite_utils
from indexer.store.contents import update_capture_time
from retrieval.errors import LibraryError
from retrieval.formatting import printable

if TYPE_CHECKING:
    from indexer.decode.reader import ReadResult

_CATALOG_FILES = """SELECT id, path, size, mtime, decoder, sidecar_of, ctime, state, error IS NOT NULL, retry,
                   content IN (SELECT id FROM contents WHERE note IS NOT NULL)
              FROM files WHERE root = ?"""


@dataclass(slots=True)
class Moves:
    """Missing files whose content is in a new file."""

    removed: set[int] = field(default_factory=set)  # ids whose rows were deleted
    moved_count: int = 0  # how many of them have moved to a file that this run added


class Roots:
    """The roots of a catalog; each method that writes is one transaction."""

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
        """Return the scan target of a folder: a root, a part of a root that includes it, or a new root.

        Options that are None keep their saved values; patterns are added (`merge_patterns`). A part of a root
        that gets options becomes a root of its own, with its known files and the options of the other root.
        """
        roots = sorted(self.all(), key=lambda root: -len(root.root_path))
        own = next((root for root in roots if root.root_path == path), None)
        parent, subpath = None, b""
        for root in roots if own is None else ():  # the innermost first
            inner_path = subpath_of(path, root.root_path)
            if inner_path and is_included(root.options, inner_path):
                parent, subpath = root, inner_path
                break
        if parent is not None and exclude is None and hidden is None and archives is None:
            nested = self._nested_roots(parent.root_path, roots)
            return parent._replace(subpath=subpath, nested_roots=nested)
        if parent is not None:
            old = parent.options._replace(exclude=patterns_below(parent.options.exclude, subpath))
        else:
            old = ScanOptions() if own is None else own.options
        options = ScanOptions(
            exclude=old.exclude if exclude is None else merge_patterns(old.exclude, exclude, path),
            hidden=old.hidden if hidden is None else hidden,
            mount=os.path.ismount(os.path.realpath(path)) or (old.mount and is_empty_or_missing(path)),
            archives=old.archives if archives is None else archives,
        )
        row = {"path": path, "options": json.dumps(options._asdict()), "state": "present"}
        if own is None:
            id_ = cast(int, self.db.table("roots").insert(row, pk="id").last_pk)
            if parent is not None:
                self._move_files(parent.root_id, subpath, id_)
        else:
            id_ = own.root_id
            self.db.table("roots").update(id_, {"options": row["options"]})
        return ScanTarget(
            id_,
            path,
            options,
            nested_roots=self._nested_roots(path, roots),
            known_links=() if own is None else own.known_links,
        )

    def _move_files(self, root: int, folder: bytes, new_root: int) -> None:
        """Move the known files in a folder of a root to a root of their own, within a transaction."""
        execute, bounds = self.db.conn.execute, path_range(folder)
        execute(
            """UPDATE files SET root = ?1, path = substr(path, ?3), sidecar_of = substr(sidecar_of, ?3),
                      retry = max(retry, decoder = 'table')  -- its captions name images of this root now
                WHERE root = ?2 AND path >= ?4 AND path < ?5""",
            (new_root, root, len(folder) + 2, *bounds),
        )
        for table in ("archives", "mounts", "unreadable", "links"):
            execute(
                f"""UPDATE {table} SET root = ?1, path = substr(path, ?3)
                     WHERE root = ?2 AND path >= ?4 AND path < ?5""",
                (new_root, root, len(folder) + 2, *bounds),
            )
        execute(
            """UPDATE roots SET last_file = o.last_file FROM (SELECT last_file FROM roots WHERE id = ?) o
                WHERE id = ?""",
            (root, new_root),
        )

    def target_at(self, path: bytes, *, recursive: bool) -> ScanTarget | None:
        """Return the scan target of a folder in a root, or None if it is excluded or in no root."""
        roots = self.all()
        for root in sorted(roots, key=lambda root: -len(root.root_path)):  # the innermost first
            subpath = b"" if path == root.root_path else subpath_of(path, root.root_path)
            if subpath is not None:
                if subpath and not is_included(root.options, subpath):
                    return None
                nested = self._nested_roots(root.root_path, roots)
                return root._replace(subpath=subpath, nested_roots=nested, recursive=recursive)
        return None

    def all(self) -> list[ScanTarget]:
        """Return every root."""
        rows = self.db.query("SELECT id, path, options FROM roots")
        links = defaultdict[int, list[tuple[bytes, bytes]]](list)
        for root, *link in self.db.execute("SELECT root, folder, path FROM links").fetchall():
            links[root].append((link[0], link[1]))
        return [
            ScanTarget(
                row["id"],
                row["path"],
                ScanOptions(**json.loads(row["options"])),
                known_links=tuple(links[row["id"]]),
            )
            for row in rows
        ]

    def save_links(self, target: ScanTarget, links: Mapping[bytes, bytes]) -> None:
        """Store the links that a walk of a target has followed: the real paths of folders -> links.

        Others stay: their drive may be away, and they are checked before they are used.
        """
        rows = [(target.root_id, *link) for link in links.items() if link not in target.known_links]
        if rows:
            with self.db.atomic():
                self.db.conn.executemany("INSERT OR REPLACE INTO links VALUES (?, ?, ?)", rows)

    def _nested_roots(self, path: bytes, roots: Sequence[ScanTarget]) -> frozenset[bytes]:
        """Return the roots below this one, relative to it."""
        return frozenset(subpath for root in roots if (subpath := subpath_of(root.root_path, path)))

    def catalog_rows(self, target: ScanTarget, after: bytes = b"") -> Iterator[CatalogRow]:
        """Yield the rows of the known files of a target in the byte order of their paths.

        `after` is a folder with its slash: its files and all before it are skipped.
        """
        if target.name_stems:
            return iter(sorted(self._files_with_stems(target), key=itemgetter(1)))
        query = f"{_CATALOG_FILES} {{}} ORDER BY path"
        conditions = ""
        values: list[object] = [target.root_id]
        if target.subpath or after:
            first, last = path_range(target.subpath)
            conditions = "AND path >= ? AND path < ?"
            values += [path_range(after[:-1])[1] if after else first, last]
        if not target.recursive:
            conditions += " AND instr(substr(path, ?), x'2f') = 0"
            values.append(len(target.subpath) + 2 if target.subpath else 1)
        return self.db.execute(query.format(conditions), values)

    def _files_with_stems(self, target: ScanTarget) -> Iterator[CatalogRow]:
        query = f"{_CATALOG_FILES} AND path >= ? AND path < ?"
        prefix = target.subpath + b"/" if target.subpath else b""
        for stem in target.name_stems:
            # Names of a stem that is not ASCII, composed or not, share only what is before that.
            first = prefix + re.split(rb"[\x80-\xff]", stem, maxsplit=1)[0]
            last = first + (b"/" if stem.isascii() else b"\xff")
            for row in self.db.execute(query, (target.root_id, first, last)):
                name = row[1][len(prefix) :]
                if b"/" not in name and name_stem(name) == stem:  # a-b.jpg is also between a and a/
                    yield row

    def count_files(self, root: int) -> int:
        """Count the files of a root that are not gone."""
        query = "SELECT count(*) FROM files WHERE root = ? AND state != 'gone'"
        return int(self.db.execute(query, (root,)).fetchone()[0])

    def last_file_id(self) -> int:
        """Return the id of the newest file; later files have larger ids."""
        return int(self.db.execute("SELECT coalesce(max(id), 0) FROM files").fetchone()[0])

    def set_state(self, files: Sequence[int], state: str) -> int:
        """Set the state of files and return how many changed."""
        query = "UPDATE files SET state = ?1 WHERE id = ?2 AND state != ?1"
        with self.db.atomic():
            changed = [id_ for id_ in files if self.db.execute(query, (state, id_)).rowcount]
            for image in self._images_of_sidecars(changed):
                update_capture_time(self.db.conn, *image)
        return len(changed)

    def save_ctimes(self, ctimes: Sequence[tuple[int, int]]) -> None:
        """Store the ctime of files by their ids."""
        if ctimes:
            with self.db.atomic():
                self.db.conn.executemany("UPDATE files SET ctime = ? WHERE id = ?", ctimes)

    def write_file(self, root: int, read_result: "ReadResult", content: int | None) -> tuple[int, str]:
        """Insert or update the row of a file, within a transaction; return its id and what has changed.

        That is "added", "updated", or "unchanged" if size, time and content are those that were stored. A
        file that was gone is new if they differ.
        """
        entry, execute = read_result.entry, self.db.conn.execute
        key = (root, entry.path)
        query = """SELECT size, mtime, decoder, sidecar_of, content, error, retry FROM files
                    WHERE root = ? AND path = ?"""
        old = execute(query, key).fetchone()
        is_same = old == (*entry[1:5], content, read_result.error, False)
        if not is_same:
            execute("DELETE FROM files WHERE root = ? AND path = ? AND state = 'gone'", key)
            old = execute(query, key).fetchone()
        row = execute(
            """INSERT INTO files (root, path, size, mtime, decoder, sidecar_of, ctime, content, error, time,
                                  state, retry)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                       coalesce((SELECT taken FROM contents WHERE id = ?8), ?10),
                       'present', ?11)
               ON CONFLICT (root, path) DO UPDATE SET size = ?3, mtime = ?4, ctime = ?7, error = ?9,
                       retry = ?11, state = 'present', decoder = iif(?11, decoder, ?5),
                       sidecar_of = iif(?11, sidecar_of, ?6),
                       content = iif(?11 OR (?9 IS NOT NULL AND size = ?3 AND mtime = ?4
                                             AND coalesce(ctime = ?7, TRUE)), content, ?8),
                       time = iif(?11, time, excluded.time)
               RETURNING id""",
            (root, *entry, content, read_result.error, read_result.modified_time, read_result.transient),
        ).fetchone()
        return row[0], "added" if old is None else "unchanged" if is_same else "updated"

    def _images_of_sidecars(self, files: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the roots and paths of the images that these files describe."""
        query = """SELECT DISTINCT root, sidecar_of FROM files
                    WHERE id IN (SELECT value FROM json_each(?)) AND sidecar_of IS NOT NULL"""
        return self.db.execute(query, (json.dumps(list(files)),)).fetchall()

    def mark_scanned(self, target: ScanTarget, *, is_complete: bool = True) -> None:
        """Store that a root was scanned now, and is present; `is_complete` if no file was kept unseen."""
        fields: dict[str, object] = {"scanned": datetime.now().isoformat(" ", "seconds")}
        if is_complete and target.recursive and not target.subpath:
            fields["last_file"] = self.last_file_id()
        returned = "UPDATE roots SET state = 'present' WHERE id = ? AND state != 'present'"
        with self.db.atomic():
            self.db.execute(returned, (target.root_id,))  # a change of the state is counted
            self.db.table("roots").update(target.root_id, fields)

    def save_unreadable(self, target: ScanTarget, paths: Sequence[bytes]) -> None:
        """Store the files and folders of a target that could not be read."""
        if not target.recursive:
            return
        first, last = path_range(target.subpath)
        with self.db.atomic():
            self.db.execute(
                "DELETE FROM unreadable WHERE root = ? AND (path = ? OR path >= ? AND path < ?)",
                (target.root_id, target.subpath, first, last),
            )
            rows = ((target.root_id, path) for path in paths)
            self.db.conn.executemany("INSERT OR IGNORE INTO unreadable VALUES (?, ?)", rows)

    def mark_returned(self) -> None:
        """Store that offline roots are present again, without a scan."""
        offline = {row["id"] for row in self.db.query("SELECT id FROM roots WHERE state = 'offline'")}
        for root in self.all() if offline else ():
            if root.root_id in offline and not root.is_offline and not is_empty_or_missing(root.root_path):
                self.db.table("roots").update(root.root_id, {"state": "present"})

    def mark_offline(self, root: int) -> None:
        """Store that a root is offline."""
        self.db.table("roots").update(root, {"state": "offline"})

    def set_copies_gone(self, root: int) -> int:
        """Make the files of an offline root gone whose content is present elsewhere; return how many."""
        query = """SELECT id FROM files WHERE root = ? AND state != 'gone'
                      AND content IN (SELECT content FROM present_files)"""
        with self.db.atomic():
            copies = [id_ for (id_,) in self.db.execute(query, (root,)).fetchall()]
            # If the root returns, the archives are opened again.
            self.db.execute("DELETE FROM archives WHERE root = ?", (root,))
            return self.set_state(copies, "gone")

    def resolve_moves(
        self, missing: Sequence[CatalogFile], scanned_roots: Collection[int], since_id: int
    ) -> Moves:
        """Delete the rows of missing files that have moved: one for each new file of the same bytes.

        Under its new name, a file may have another content. New files are those in the scanned roots with
        ids above `since_id`, and those that were added since the root of the missing file was last scanned:
        by an earlier run that was interrupted, or that scanned other roots.
        """
        missing_ids, copies = {old.id for old in missing}, dict[bytes, list[int]]()
        moves, execute = Moves(), self.db.conn.execute
        known = """SELECT c.hash, r.last_file FROM files f
                     JOIN contents c ON c.id = f.content JOIN roots r ON r.id = f.root WHERE f.id = ?"""
        query = """SELECT id, root FROM files
                    WHERE content IN (SELECT id FROM contents WHERE hash = ?) AND state = 'present'
                    ORDER BY id"""
        with self.db.atomic():
            images = self._images_of_sidecars(sorted(missing_ids))
            # Files that were present until now have moved rather than those that were offline already.
            for _, id_ in sorted((old.state == "offline", old.id) for old in missing):
                for digest, last_file in execute(known, (id_,)).fetchall():  # none if it could not be read
                    if digest not in copies:
                        copies[digest] = [
                            copy
                            for copy, root in execute(query, (digest,))
                            if copy not in missing_ids and root in scanned_roots
                        ]
                    if copies[digest] and copies[digest][-1] > min(since_id, last_file):
                        execute("DELETE FROM files WHERE id = ?", (id_,))
                        moves.removed.add(id_)
                        moves.moved_count += copies[digest].pop() > since_id  # the newest first
            for image in images if moves.removed else ():
                update_capture_time(self.db.conn, *image)
        return moves

    def forget(self, paths: Sequence[bytes]) -> int:
        """Delete roots and their files, and return how many files. Contents stay until they are purged."""
        roots = {root.root_path: root.root_id for root in self.all()}
        for path in paths:
            if path not in roots:
                above = next((root for root in sorted(roots, reverse=True) if subpath_of(path, root)), None)
                folder = os.fsdecode(path)
                hint = (
                    "`clew status` lists them."
                    if above is None
                    else f"It is in {os.fsdecode(above)}; to leave it out: "
                    f"clew index {shlex.quote(os.fsdecode(above))} --exclude {shlex.quote(folder)}"
                )
                raise LibraryError(printable(f"{folder} is not an indexed folder of this library. {hint}"))
        count = 0
        with self.db.atomic():
            for path in paths:
                count += self.db.execute("DELETE FROM files WHERE root = ?", (roots[path],)).rowcount
                self.db.execute("DELETE FROM roots WHERE id = ?", (roots[path],))
            if paths:
                self.db.execute("DELETE FROM shards")  # their files can be imported again
        return count
