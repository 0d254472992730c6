"""Write thumbnails to a file of their own, after the catalog; a crash loses at most one batch of them."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import CATALOG_FILE, THUMBNAILS_FILE
from retrieval.catalog.thumbnails import ThumbnailKey, file_size, is_full, thumbnail_checksum
from retrieval.formatting import format_bytes, pluralize

if TYPE_CHECKING:
    from indexer.decode.base import SegmentDraft

SCHEMA_VERSION = 1
_SCHEMA = """CREATE TABLE thumbnails (
    segment INTEGER PRIMARY KEY,
    seal INTEGER NOT NULL,                     -- CRC-32 of the segment's key and of the WebP
    picture BLOB NOT NULL                      -- WebP
) STRICT"""
_CONTENT_SEGMENTS = """SELECT s.id, c.hash, c.decoder, s.ordinal, s.kind, s.page, s.start
  FROM catalog_db.segments s JOIN catalog_db.contents c ON c.id = s.content
 WHERE c.id = ? AND s.origin = 'file'"""
_OVER_LIMIT = """SELECT segment FROM (             -- 1.1 with the overhead of SQLite
    SELECT segment, sum(1.1 * length(picture)) OVER (ORDER BY segment) AS total FROM thumbnails
 ) WHERE total > ?"""


class NewThumbnail(NamedTuple):
    """A segment that has a visual form, and its WebP, or None if there is none."""

    key: ThumbnailKey
    webp: bytes | None


class ThumbnailFile:
    """Writer of the thumbnails of a library; the file is created when there is something to write.

    Its errors do not interrupt indexing: `note` reports them at the end.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.path = catalog.folder / THUMBNAILS_FILE
        self.max_bytes = catalog.settings().thumbnails_max_bytes
        self._is_full = is_full(file_size(catalog.folder), self.max_bytes)
        self._error = ""
        self._skipped_count = 0
        self._connection: sqlite3.Connection | None = None

    @property
    def is_accepting(self) -> bool:
        """Return True if the file has space for more; any thread may call it."""
        return not self._is_full and not self._error

    @property
    def note(self) -> str | None:
        """Return why thumbnails were not kept and what to do, if any were not."""
        if not self._skipped_count or not self.max_bytes:
            return None
        if self._error:
            return f"Thumbnails were not saved: {self._error}. `clew verify --repair` creates them."
        limit = format_bytes(2 * self.max_bytes).replace(" ", "")
        return (
            f"Thumbnails have reached their limit of {format_bytes(self.max_bytes)}, so "
            f"{pluralize(self._skipped_count, 'segment')} got none. Raise the limit with "
            f"`clew index --thumbnails {limit}`, then run `clew verify --repair`."
        )

    def save(self, batch: Sequence[NewThumbnail]) -> None:
        """Commit the thumbnails of committed segments, until the file is full."""
        saved_count = 0
        if batch and self.is_accepting:
            try:
                saved_count = self._write(batch)
            except sqlite3.Error as error:
                self._error = str(error)
        self._skipped_count += len(batch) - saved_count

    def _write(self, batch: Sequence[NewThumbnail]) -> int:
        with self.open() as db:
            for number, (key, picture) in enumerate(batch):
                if self._is_full:
                    return number
                if picture is not None:
                    row = (key.segment, thumbnail_checksum(*key[1:], picture), picture)
                    db.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?)", row)
                    self._is_full = is_full(_used_bytes(db), self.max_bytes)
        return len(batch)

    def save_content(self, content: int, drafts: "Sequence[SegmentDraft]") -> None:
        """Save the thumbnails of a content that was decoded again; other drafts are ignored."""
        if not self.is_accepting:
            return
        try:
            rows = self.open().execute(_CONTENT_SEGMENTS, (content,)).fetchall()
        except sqlite3.Error as error:
            self._error = str(error)
            return
        thumbnails = []
        for segment, digest, decoder, ordinal, kind, page, start in rows:
            draft = drafts[ordinal] if ordinal < len(drafts) else None
            if draft is not None and draft.thumbnail and draft.matches(kind, page, start):
                thumbnails.append(
                    NewThumbnail(ThumbnailKey(segment, digest, decoder, ordinal), draft.thumbnail)
                )
        self.save(thumbnails)

    def set_limit(self, max_bytes: int) -> None:
        """Set the limit of the file's size, and delete the newest thumbnails above it."""
        self.max_bytes = max_bytes
        if not max_bytes:
            self.delete_file()
        elif self.path.exists():
            self._delete(f"segment IN ({_OVER_LIMIT})", max_bytes)
        self._is_full = is_full(file_size(self.catalog.folder), max_bytes)

    def drop_orphans(self) -> int:
        """Delete the thumbnails of deleted segments, and return their number."""
        if not self.path.exists():
            return 0
        return self._delete("segment NOT IN (SELECT id FROM catalog_db.segments)")

    def _delete(self, condition: str, *values: object) -> int:
        """Delete thumbnails, or the file if it is damaged, and return the number of deleted rows."""
        try:
            with self.open() as db:
                count = db.execute(f"DELETE FROM thumbnails WHERE {condition}", values).rowcount
            self.vacuum()
            return count
        except sqlite3.OperationalError:  # a full disk, or no permission
            raise
        except sqlite3.DatabaseError:
            self.delete_file()
            return 0

    def drop(self, segments: Sequence[int]) -> None:
        """Delete the thumbnails of these segments."""
        with self.open() as db:
            db.executemany("DELETE FROM thumbnails WHERE segment = ?", ((id_,) for id_ in segments))
        self.vacuum()

    def vacuum(self) -> None:
        """Shrink the file, and overwrite the deleted thumbnails."""
        with suppress(sqlite3.OperationalError):  # a full disk; the rows are deleted all the same
            self.open().execute("VACUUM main")
            self.open().execute("PRAGMA main.wal_checkpoint(TRUNCATE)")
        self._is_full = is_full(file_size(self.catalog.folder), self.max_bytes)

    def open(self) -> sqlite3.Connection:
        """Return the open file with the catalog attached; a file of another format is replaced."""
        if self._connection is None:
            try:
                self._connection = _connect(self.path)
            except sqlite3.OperationalError:  # a full disk, or no permission, which may pass
                raise
            except sqlite3.DatabaseError:
                self.delete_file()
                self._connection = _connect(self.path)
        return self._connection

    def delete_file(self) -> None:
        """Delete the file."""
        self.close()
        for part in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + part).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _used_bytes(db: sqlite3.Connection) -> int:
    """Return the bytes in use, including the open transaction."""
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
        if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            with db:
                db.execute("DROP TABLE IF EXISTS thumbnails")
                db.execute(_SCHEMA)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("ATTACH ? AS catalog_db", (f"{path.with_name(CATALOG_FILE).absolute().as_uri()}?mode=ro",))
    except BaseException:
        db.close()
        raise
    return db
