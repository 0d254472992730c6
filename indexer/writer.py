"""Where this is written: every change to a catalogue is here, each in one transaction."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import sqlite_utils

from indexer.changes import Known
from indexer.decoders import Draft
from indexer.lock import writing
from indexer.read import Read
from indexer.walk import Options
from retrieval.catalog import Catalog, check_version
from retrieval.embedders import Embedder
from retrieval.errors import LibraryError, SpaceMismatch
from retrieval.records import Space, Vectors
from retrieval.schema import CATALOGUE, INDEXES, STEPS, vectors_table

migrations = sqlite_utils.Migrations("clew")
for _name, _statements in STEPS.items():

    @migrations(name=_name)
    def _step(db: sqlite_utils.Database, statements: Sequence[str] = _statements) -> None:
        for statement in statements:
            db.execute(statement)


@dataclass(frozen=True, slots=True)
class Portion:
    """Some consecutive segments of a file that was read, with their vectors; `last` ends the file."""

    read: Read
    drafts: Sequence[Draft] = ()
    first: int = 0
    last: bool = True
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class Wrote:
    """What a transaction changed: files added, updated and failed, and new segments by kind."""

    files: Counter[str] = field(default_factory=Counter)
    segments: Counter[str] = field(default_factory=Counter)


class Writer:
    """The one process that writes to a library; use it in a `with`."""

    def __init__(self, folder: Path, choose: Callable[[str | None], Embedder]) -> None:
        """Write to the library in `folder`; `choose` gets its model's name, None of a new one."""
        self.folder = folder
        self._choose = choose

    def __enter__(self) -> Self:
        """Take the lock, bring the tables up to date, and find or make the embedder's space."""
        self._exits = ExitStack()
        with ExitStack() as entered:
            _make_folder(self.folder)
            entered.enter_context(writing(self.folder))
            self.db = entered.enter_context(_open(self.folder))
            self.space = self._find_space()
            self.catalog = Catalog.open(self.folder)
            entered.callback(self.catalog.close)
            self._exits = entered.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._exits.close()

    def _find_space(self) -> int:
        """Return the id of the space that answers; a new library takes the chosen embedder's."""
        query = "SELECT s.* FROM spaces s JOIN settings t ON t.name = 'space' AND t.value = s.name"
        row = next(iter(self.db.query(query)), None)
        self.embedder = self._choose(None if row is None else row["name"])
        name, fingerprint = self.embedder.name, self.embedder.fingerprint
        if row is not None:
            if row["name"] != name:
                raise SpaceMismatch(name, row["name"])
            if row["fingerprint"] != fingerprint:
                raise LibraryError(
                    f"This library was made with another version of {name} "
                    f"({row['fingerprint'][:12]}, now {fingerprint[:12]}); index into a new --library."
                )
            return int(row["id"])
        with self.db.atomic():
            space = {"name": name, "fingerprint": fingerprint, "dim": self.embedder.dim}
            id_ = int(self.db.table("spaces").insert(space, pk="id").last_pk)
            self.db.execute(
                f"""CREATE TABLE {vectors_table(id_)} (
                        segment INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT"""
            )
            self.remember("space", name)
        return id_

    def remember(self, name: str, value: str) -> None:
        """Write a setting of the library."""
        self.db.table("settings").upsert({"name": name, "value": value}, pk="name")

    # Roots

    def add_root(
        self, path: bytes, exclude: Sequence[str] | None = None, hidden: bool | None = None
    ) -> tuple[int, bytes]:
        """Return the root that holds this folder, and the folder's path below it.

        A folder inside a root is a part of it; a root inside a new one becomes a part of that. What is
        None stays as it is remembered.
        """
        with self.db.atomic():
            roots = list(self.db.query("SELECT id, path, options FROM roots"))
            above = next((root for root in roots if _below(path, root["path"])), None)
            if above is not None:
                if exclude is not None or hidden is not None:
                    raise LibraryError(
                        f"{os.fsdecode(path)} is part of {os.fsdecode(above['path'])}, which is scanned "
                        "in one way; give that folder to change what is left out."
                    )
                return int(above["id"]), _below(path, above["path"]) or b""
            inside = [root for root in roots if _below(root["path"], path) is not None]
            old = [_options(root["options"]) for root in inside]
            options = Options(
                exclude=tuple(
                    dict.fromkeys(e for o in old for e in o.exclude) if exclude is None else exclude
                ),
                hidden=any(o.hidden for o in old) if hidden is None else hidden,
                mount=os.path.ismount(path)
                or any(r["path"] == path and o.mount for r, o in zip(inside, old, strict=True)),
            )
            row = {"path": path, "options": json.dumps(asdict(options)), "state": "present"}
            id_ = next((int(root["id"]) for root in inside if root["path"] == path), None)
            if id_ is None:
                id_ = int(self.db.table("roots").insert(row, pk="id").last_pk)
            else:
                self.db.table("roots").update(id_, {"options": row["options"]})
            for root in inside:
                if root["id"] != id_:
                    self._adopt(root["id"], (_below(root["path"], path) or b"") + b"/", id_)
            return id_, b""

    def options(self, root: int) -> Options:
        """Return how this root is scanned."""
        row = self.db.execute("SELECT options FROM roots WHERE id = ?", (root,)).fetchone()
        return _options(row[0])

    def _adopt(self, root: int, prefix: bytes, into: int) -> None:
        """Make the files of a root files of another one that holds it."""
        self.db.execute(
            """UPDATE files SET root = ?, path = CAST(? || path AS BLOB),
                      picture = CAST(? || picture AS BLOB) WHERE root = ?""",
            (into, prefix, prefix, root),
        )
        self.db.execute("DELETE FROM roots WHERE id = ?", (root,))

    def roots(self) -> list[bytes]:
        """Return the paths of all roots."""
        return [row["path"] for row in self.db.query("SELECT path FROM roots ORDER BY path")]

    def known(self, root: int, below: bytes = b"") -> Iterator[Known]:
        """Yield the files of a root, or of a folder below it, in the byte order of their paths."""
        start, end = (below + b"/", below + b"0") if below else (b"", b"\xff" * 8)
        rows = self.catalog.db.execute(
            """SELECT id, path, size, mtime, reader, picture, state, error IS NOT NULL
                 FROM files WHERE root = ? AND path >= ? AND path < ? ORDER BY path""",
            (root, start, end),
        )
        rows.row_factory = None
        return map(Known._make, rows)

    def set_state(self, files: Sequence[int], state: str) -> int:
        """Set the state of these files; returns how many changed."""
        with self.db.atomic():
            return sum(
                self.db.execute(
                    "UPDATE files SET state = ? WHERE id = ? AND state != ?", (state, id_, state)
                ).rowcount
                for id_ in files
            )

    def set_root(self, root: int, state: str) -> int:
        """Set a root present (and scanned now) or offline; returns how many files went offline with it."""
        with self.db.atomic():
            self.db.table("roots").update(root, {"state": state})
            if state == "offline":
                query = "UPDATE files SET state = 'offline' WHERE root = ? AND state = 'present'"
                return int(self.db.execute(query, (root,)).rowcount)
            now = datetime.now().isoformat(" ", "seconds")
            self.db.table("roots").update(root, {"scanned": now})
            return 0

    def last_file(self) -> int:
        """Return the newest file's id; files added later have larger ones."""
        return int(self.db.execute("SELECT coalesce(max(id), 0) FROM files").fetchone()[0])

    def settle_moved(self, missing: Sequence[Known], since: int) -> list[Known]:
        """Drop the rows of missing files whose content a file newer than `since` has; return the rest."""
        with self.db.atomic():
            return [
                old
                for old in missing
                if not self.db.execute(
                    """DELETE FROM files WHERE id = ? AND EXISTS (
                           SELECT 1 FROM files f
                            WHERE f.content = files.content AND f.id > ? AND f.state = 'present')""",
                    (old.id, since),
                ).rowcount
            ]

    # Files and segments

    def is_known(self, digest: bytes, reader: str) -> bool:
        """Say whether all segments of this content are committed; may be asked from any thread."""
        query = "SELECT 1 FROM contents WHERE hash = ? AND reader = ? AND segments IS NOT NULL"
        return self.catalog.db.execute(query, (digest, reader)).fetchone() is not None

    def write(self, root: int, portions: Sequence[Portion]) -> Wrote:
        """Commit these portions at once.

        A file's row comes with its last portion, so that a crash between two leaves segments that
        nothing shows and that the next run goes on from.
        """
        wrote = Wrote()
        with self.db.atomic():
            for portion in portions:
                failed = portion.read.error is not None
                content = None if failed else self._write_content(portion, wrote.segments)
                if portion.last:
                    fresh = self._write_file(root, portion.read, content)
                    wrote.files["failed" if failed else "added" if fresh else "updated"] += 1
        return wrote

    def _write_content(self, portion: Portion, wrote: Counter[str]) -> int:
        """Insert what is not there yet of a content and its segments; returns its id."""
        read, decoded = portion.read, portion.read.decoded
        key = (read.digest, read.found.reader)
        execute = self.db.conn.execute
        query = "SELECT id, segments FROM contents WHERE hash = ? AND reader = ?"
        row = (
            execute(query, key).fetchone()
            or execute(
                """INSERT INTO contents (hash, reader, width, height, taken) VALUES (?, ?, ?, ?, ?)
               RETURNING id, segments""",
                (*key, decoded.width, decoded.height, decoded.taken),
            ).fetchone()
        )
        id_ = int(row[0])
        if row[1] is None:
            there = execute("SELECT count(*) FROM segments WHERE content = ?", (id_,)).fetchone()[0]
            for at in range(max(0, there - portion.first), len(portion.drafts)):
                self._write_segment(id_, portion.first + at, portion.drafts[at], portion.vectors[at])
                wrote[portion.drafts[at].kind] += 1
            if portion.last:
                count = portion.first + len(portion.drafts)
                execute("UPDATE contents SET segments = ? WHERE id = ?", (count, id_))
        return id_

    def _write_segment(self, content: int, ordinal: int, draft: Draft, vector: Vectors) -> None:
        row = self.db.conn.execute(
            'INSERT INTO segments (content, ordinal, kind, text, start, "end") VALUES (?, ?, ?, ?, ?, ?)',
            (content, ordinal, draft.kind, draft.text, draft.start, draft.end),
        )
        self.db.conn.execute(
            f"INSERT INTO {vectors_table(self.space)} VALUES (?, ?)",
            (row.lastrowid, vector.astype(np.float16).tobytes()),
        )

    def _write_file(self, root: int, read: Read, content: int | None) -> bool:
        """Insert or replace a file's row; returns whether its place is new."""
        found = read.found
        query = "SELECT 1 FROM files WHERE root = ? AND path = ? AND state != 'gone'"
        there = self.db.conn.execute(query, (root, found.path)).fetchone() is not None
        self.db.conn.execute(
            """INSERT INTO files (root, path, size, mtime, reader, picture, content, error, time, state)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,
                       coalesce((SELECT taken FROM contents WHERE id = ?7), ?9), 'present')
               ON CONFLICT (root, path) DO UPDATE SET size = ?3, mtime = ?4, reader = ?5, picture = ?6,
                       content = ?7, error = ?8, time = excluded.time, state = 'present'""",
            (root, *found, content, read.error, read.time),
        )
        return not there

    # Forgetting

    def forget(self, path: bytes) -> int:
        """Drop a root and its files; what they held stays until `purge`. Returns how many files."""
        with self.db.atomic():
            row = self.db.execute("SELECT id FROM roots WHERE path = ?", (path,)).fetchone()
            if row is None:
                raise LibraryError(
                    f"{os.fsdecode(path)} is not one of this library's folders; `clew status` lists them."
                )
            count = int(self.db.execute("DELETE FROM files WHERE root = ?", row).rowcount)
            self.db.execute("DELETE FROM roots WHERE id = ?", row)
        return count

    def purge(self) -> int:
        """Delete the files that are gone and all that no file holds any more; returns how many segments."""
        with self.db.atomic():
            self.db.execute("DELETE FROM files WHERE state = 'gone'")
            lost = "SELECT id FROM contents c WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.content = c.id)"
            segments = f"SELECT id FROM segments WHERE content IN ({lost})"
            for space in list(self.db.query("SELECT id FROM spaces")):
                self.db.execute(f"DELETE FROM {vectors_table(space['id'])} WHERE segment IN ({segments})")
            count = int(self.db.execute(f"DELETE FROM segments WHERE content IN ({lost})").rowcount)
            self.db.execute(f"DELETE FROM contents WHERE id IN ({lost})")
        self.db.execute("VACUUM")
        return count

    # The index

    def set_index(self, space: Space) -> None:
        """Point the space at its new index file."""
        with self.db.atomic():
            row = asdict(space)
            self.db.table("spaces").update(row.pop("id"), row)


def _open(folder: Path) -> sqlite_utils.Database:
    """Open or make the catalogue, with the steps it lacks."""
    db = sqlite_utils.Database(folder / CATALOGUE)
    db.execute("PRAGMA page_size = 16384")  # whole vectors on a page
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last batches, never the file
    db.execute("PRAGMA foreign_keys = ON")
    migrations.apply(db)
    check_version(db.conn, folder)
    return db


def _make_folder(folder: Path) -> None:
    try:
        (folder / INDEXES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LibraryError(f"The library's folder {folder} cannot be made: {error.strerror}.") from error


def _options(text: str) -> Options:
    row = json.loads(text)
    return Options(tuple(row["exclude"]), row["hidden"], row["mount"])


def _below(path: bytes, root: bytes) -> bytes | None:
    """Return the path under the root, b"" for the root itself, None where it is not below it."""
    if path == root:
        return b""
    stem = root.rstrip(b"/") + b"/"
    return path[len(stem) :] if path.startswith(stem) else None
