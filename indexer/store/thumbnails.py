"""Where thumbnails are written: a file of their own, after the catalogue. A crash costs a batch of them."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from indexer.decode.base import Draft
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import CATALOGUE, THUMBNAILS
from retrieval.catalog.thumbnails import Key, is_full, limit, seal, size
from retrieval.formatting import size as in_words
from retrieval.formatting import some

VERSION = 1
_TABLE = """CREATE TABLE thumbnails (
    segment INTEGER PRIMARY KEY,
    seal INTEGER NOT NULL,                     -- CRC-32 of what it is a picture of, and of the picture
    picture BLOB NOT NULL                      -- WebP
) STRICT"""
_CONTENT = """SELECT s.id, c.hash, c.reader, s.ordinal, s.kind, s.page, s.start
  FROM catalogue.segments s JOIN catalogue.contents c ON c.id = s.content
 WHERE c.id = ? AND s.origin = 'file'"""
_ABOVE = """SELECT segment FROM (             -- 1.1 with what SQLite needs for itself
    SELECT segment, sum(1.1 * length(picture)) OVER (ORDER BY segment) AS total FROM thumbnails
 ) WHERE total > ?"""


class Made(NamedTuple):
    """A segment that can be shown, and the WebP made of it; None where none was."""

    key: Key
    picture: bytes | None


class ThumbnailFile:
    """The thumbnails of a library, for writing; opened, and made, when there is something to write.

    Whatever happens to it harms no indexing: `note` says it in the end.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.path = catalog.folder / THUMBNAILS
        self.limit = limit(catalog)
        self._full = is_full(size(catalog.folder), self.limit)
        self._broken = ""
        self._refused = 0
        self._open: sqlite3.Connection | None = None

    @property
    def wanted(self) -> bool:
        """Say whether there is room for more; may be asked from any thread."""
        return not self._full and not self._broken

    @property
    def note(self) -> str | None:
        """Say why some were not kept, and what to do."""
        if not self._refused or not self.limit:
            return None
        if self._broken:
            return f"Thumbnails were not kept: {self._broken}. `clew verify --repair` makes them."
        room = in_words(2 * self.limit).replace(" ", "")
        return (
            f"Thumbnails take {in_words(self.limit)}, as much as they may, so "
            f"{some(self._refused, 'segment')} got none. `clew index --thumbnails {room}` makes room, "
            "and `clew verify --repair` then makes them."
        )

    def keep(self, batch: Sequence[Made]) -> None:
        """Commit the thumbnails of segments that are committed, as far as there is room."""
        kept = 0
        if batch and self.wanted:
            try:
                kept = self._write(batch)
            except sqlite3.Error as error:
                self._broken = str(error)
        self._refused += len(batch) - kept

    def _write(self, batch: Sequence[Made]) -> int:
        with self.open() as db:
            for number, (key, picture) in enumerate(batch):
                if self._full:
                    return number
                if picture is not None:
                    row = (key.segment, seal(*key[1:], picture), picture)
                    db.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?)", row)
                    self._full = is_full(_used(db), self.limit)
        return len(batch)

    def keep_content(self, content: int, drafts: Sequence[Draft]) -> None:
        """Keep the thumbnails of a content that was read again; drafts that are not its segments drop out."""
        if not self.wanted:
            return
        try:
            rows = self.open().execute(_CONTENT, (content,)).fetchall()
        except sqlite3.Error as error:
            self._broken = str(error)
            return
        made = []
        for segment, digest, reader, ordinal, kind, page, start in rows:
            draft = drafts[ordinal] if ordinal < len(drafts) else None
            if draft is not None and draft.thumbnail and draft.is_of(kind, page, start):
                made.append(Made(Key(segment, digest, reader, ordinal), draft.thumbnail))
        self.keep(made)

    def set_limit(self, most: int) -> None:
        """Keep no more than so many bytes from now on; what is above them is dropped, the newest first."""
        self.limit = most
        if not most:
            self.begin_anew()
        elif self.path.exists():
            self._delete(f"segment IN ({_ABOVE})", most)
        self._full = is_full(size(self.catalog.folder), most)

    def drop_orphans(self) -> int:
        """Delete the thumbnails of segments that are no more; returns how many."""
        if not self.path.exists():
            return 0
        return self._delete("segment NOT IN (SELECT id FROM catalogue.segments)")

    def _delete(self, which: str, *values: object) -> int:
        """Delete some thumbnails, or all where the file is damaged: what is to go goes; returns how many."""
        try:
            with self.open() as db:
                count = db.execute(f"DELETE FROM thumbnails WHERE {which}", values).rowcount
            self.vacuum()
            return count
        except sqlite3.OperationalError:  # a full disk, or no permission
            raise
        except sqlite3.DatabaseError:
            self.begin_anew()
            return 0

    def drop(self, segments: Sequence[int]) -> None:
        """Delete the thumbnails of these segments."""
        with self.open() as db:
            db.executemany("DELETE FROM thumbnails WHERE segment = ?", ((id_,) for id_ in segments))
        self.vacuum()

    def vacuum(self) -> None:
        """Give room back, and leave nothing of what was deleted."""
        with suppress(sqlite3.OperationalError):  # a full disk; what was deleted is so all the same
            self.open().execute("VACUUM main")
            self.open().execute("PRAGMA main.wal_checkpoint(TRUNCATE)")
        self._full = is_full(size(self.catalog.folder), self.limit)

    def open(self) -> sqlite3.Connection:
        """Return the open file, the catalogue beside it to read; made anew where it is none of ours."""
        if self._open is None:
            try:
                self._open = _connect(self.path)
            except sqlite3.OperationalError:  # a full disk, or no permission: another day it may be as it was
                raise
            except sqlite3.DatabaseError:
                self.begin_anew()
                self._open = _connect(self.path)
        return self._open

    def begin_anew(self) -> None:
        """Delete the file."""
        self.close()
        for part in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + part).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._open is not None:
            self._open.close()
        self._open = None


def _used(db: sqlite3.Connection) -> int:
    """Return the bytes in use, those of the transaction that is open too."""
    pages, free, page = (
        db.execute(f"PRAGMA main.{name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path.absolute().as_uri(), uri=True)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            with db:
                db.execute("DROP TABLE IF EXISTS thumbnails")
                db.execute(_TABLE)
                db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("ATTACH ? AS catalogue", (f"{path.with_name(CATALOGUE).absolute().as_uri()}?mode=ro",))
    except BaseException:
        db.close()
        raise
    return db
