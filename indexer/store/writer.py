"""Where the catalogue is written: files, segments and vectors (the rest: roots, contents, spaces)."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import sqlite_utils

from indexer.decode.base import SegmentDraft
from indexer.decode.reader import ReadResult
from indexer.decode.registry import describes_other_files
from indexer.store.captions import Captions
from indexer.store.contents import Contents
from indexer.store.lock import library_lock
from indexer.store.roots import Roots
from indexer.store.settings import save_settings
from indexer.store.spaces import Spaces
from indexer.store.thumbnails import NewThumbnail, ThumbnailFile
from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.reader import Catalog, check_version
from retrieval.catalog.schema import CATALOG_FILE, INDEX_FOLDER, vectors_table
from retrieval.catalog.settings import LibrarySettings
from retrieval.catalog.thumbnails import ThumbnailKey
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryError, LibraryMissing, SpaceMismatch, describe_differences
from retrieval.types import VISUAL_KINDS, Space, Vectors

migrations = sqlite_utils.Migrations("clew")
for _name, _statements in MIGRATIONS.items():

    @migrations(name=_name)
    def _step(db: sqlite_utils.Database, statements: Sequence[str] = _statements) -> None:
        for statement in statements:
            db.execute(statement)


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Some consecutive segments of a file that was read, with their vectors; `last` ends the file."""

    read_result: ReadResult
    drafts: Sequence[SegmentDraft] = ()
    first_ordinal: int = 0
    is_last: bool = True
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """What a transaction changed: files added, updated and failed, and new segments by kind."""

    files: Counter[str] = field(default_factory=Counter)
    segments: Counter[str] = field(default_factory=Counter)


class LibraryWriter:
    """The one process that writes to a library; use it in a `with`."""

    embedder: Embedder

    def __init__(
        self, folder: Path, embedder_factory: Callable[[Space | None], Embedder] | None = None
    ) -> None:
        """Write to the library in `folder`; `choose` gets the space that answers, None of a new one.

        Without it there must be a library, to which nothing is added.
        """
        self.folder = folder
        self._embedder_factory = embedder_factory

    def __enter__(self) -> Self:
        """Take the lock, bring the tables up to date, and find or make the embedder's space."""
        self._exit_stack = ExitStack()
        with ExitStack() as entered:
            _make_folder(self.folder)
            entered.enter_context(library_lock(self.folder))
            self.db = entered.enter_context(_open_catalog(self.folder))
            self.roots = Roots(self.db)
            self.captions = Captions(self.db)
            self.contents = Contents(self.db)
            self.catalog = Catalog.open(self.folder)
            entered.callback(self.catalog.close)
            self.thumbnails = ThumbnailFile(self.catalog)
            entered.callback(self.thumbnails.close)
            self.spaces = Spaces(self.db, self.catalog)
            self.space_id = self._find_space()
            self._exit_stack = entered.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:  # a full disk, or a reader; what is in the log is as safe there
            pass
        finally:
            self._exit_stack.close()

    def _find_space(self) -> int:
        """Return the id of the space that answers; a new library takes the chosen embedder's."""
        space = self.catalog.space()
        if self._embedder_factory is None:
            if space is None:
                raise LibraryMissing(self.folder)
            return space.id
        self.embedder = self._embedder_factory(space)
        if space is None:
            with self.db.atomic():
                id_ = self.spaces.insert(self.embedder, complete=True)
                save_settings(self.db, replace(self.settings(), active_space=self.embedder.name))
            return id_
        if space.fingerprint != self.embedder.fingerprint:
            what = describe_differences(space.parts, self.embedder.parts)
            raise SpaceMismatch(self.embedder.name, space.name, what)
        return space.id

    def is_known(self, digest: bytes, decoder: str) -> bool:
        """Say whether all segments of this content are committed; may be asked from any thread."""
        query = "SELECT 1 FROM contents WHERE hash = ? AND reader = ? AND segments IS NOT NULL"
        return self.catalog.db.execute(query, (digest, decoder)).fetchone() is not None

    def write(self, root: int, chunks: Sequence[FileChunk]) -> WriteCounts:
        """Commit these portions at once.

        A file's row comes with its last portion, so that a crash between two leaves segments that
        nothing shows and that the next run goes on from; one before their thumbnails are written leaves none.
        """
        wrote, made = WriteCounts(), list[NewThumbnail]()
        with self.db.atomic():
            for portion in chunks:
                failed = portion.read_result.error is not None
                content = None if failed else self._write_content(portion, wrote.segments, made)
                if portion.is_last:
                    fresh = self._write_file(root, portion.read_result, content)
                    wrote.files["failed" if failed else "added" if fresh else "updated"] += 1
        self.thumbnails.save(made)
        return wrote

    def _write_content(
        self, chunk: FileChunk, counts: Counter[str], new_thumbnails: list[NewThumbnail]
    ) -> int:
        """Insert what is not there yet of a content and its segments; returns its id.

        What can be shown of them is added to `made`.
        """
        read, decoded = chunk.read_result, chunk.read_result.decoded
        key = (read.digest, read.entry.decoder)
        execute = self.db.conn.execute
        query = "SELECT id, segments FROM contents WHERE hash = ? AND reader = ?"
        row = execute(query, key).fetchone() or (self.contents.insert(*key, decoded.properties), None)
        id_ = int(row[0])
        if row[1] is None:
            there = execute("SELECT count(*) FROM segments WHERE content = ?", (id_,)).fetchone()[0]
            for at in range(max(0, there - chunk.first_ordinal), len(chunk.drafts)):
                draft, ordinal = chunk.drafts[at], chunk.first_ordinal + at
                segment = self._write_segment(id_, ordinal, draft, chunk.vectors[at])
                counts["part" if draft.is_image_part else draft.kind] += 1
                if (draft.kind in VISUAL_KINDS and draft.box is None) or draft.thumbnail is not None:
                    new_thumbnails.append(NewThumbnail(ThumbnailKey(segment, *key, ordinal), draft.thumbnail))
            if chunk.is_last:
                count = chunk.first_ordinal + len(chunk.drafts)
                execute("UPDATE contents SET segments = ? WHERE id = ?", (count, id_))
        return id_

    def _write_segment(
        self, content: int, ordinal: int, draft: SegmentDraft, vector: Vectors, origin: str = "file"
    ) -> int:
        row = self.db.conn.execute(
            """INSERT INTO segments (content, ordinal, kind, text, start, "end", page, box, caption_target,
                                     origin)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                *(content, ordinal, draft.kind, draft.text, draft.start, draft.end, draft.page),
                None if draft.box is None else json.dumps(draft.box),
                draft.caption_target,
                origin,
            ),
        )
        self.db.conn.execute(
            f"INSERT INTO {vectors_table(self.space_id)} VALUES (?, ?)",
            (row.lastrowid, vector.astype(np.float16).tobytes()),
        )
        return int(row.lastrowid or 0)

    def add_segments(
        self, content: int, origin: str, drafts: Sequence[SegmentDraft], vectors: Vectors
    ) -> None:
        """Add the segments that an analysis found to a complete content, within a transaction."""
        query = "SELECT coalesce(max(ordinal), -1) + 1 FROM segments WHERE content = ?"
        first = self.db.conn.execute(query, (content,)).fetchone()[0]
        for at, draft in enumerate(drafts):
            self._write_segment(content, first + at, draft, vectors[at], origin)
        query = "UPDATE contents SET segments = segments + ? WHERE id = ?"
        self.db.conn.execute(query, (len(drafts), content))

    def _write_file(self, root: int, read_result: ReadResult, content: int | None) -> bool:
        """Insert or replace a file's row; returns whether its place is new."""
        found, here = read_result.entry, (root, read_result.entry.path)
        self.db.conn.execute("DELETE FROM files WHERE root = ? AND path = ? AND state = 'gone'", here)
        query = "SELECT 1 FROM files WHERE root = ? AND path = ?"
        there = self.db.conn.execute(query, here).fetchone() is not None
        row = self.db.conn.execute(
            """INSERT INTO files (root, path, size, mtime, reader, picture, content, error, time,
                                  state, retry)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,
                       coalesce((SELECT taken FROM contents WHERE id = ?7), ?9),
                       'present', ?10)
               ON CONFLICT (root, path) DO UPDATE SET size = ?3, mtime = ?4, error = ?8, retry = ?10,
                       state = 'present', reader = iif(?10, reader, ?5), picture = iif(?10, picture, ?6),
                       content = iif(?10, content, ?7), time = iif(?10, time, excluded.time)
               RETURNING id""",
            (root, *found, content, read_result.error, read_result.modified_time, read_result.transient),
        ).fetchone()
        if describes_other_files(found.decoder) and not read_result.transient:
            self.captions.save_links(row[0], found.path, content)
        self.contents.update_capture_time(root, found.sidecar_of or found.path)
        return not there

    def settings(self) -> LibrarySettings:
        """Return the settings, including those that the open transaction has changed."""
        return LibrarySettings.read(self.db.conn)

    def save_settings(self, settings: LibrarySettings) -> None:
        """Save the settings and apply the limit of the thumbnails."""
        with self.db.atomic():
            save_settings(self.db, settings)
        if settings.thumbnails_max_bytes != self.thumbnails.max_bytes:
            self.thumbnails.set_limit(settings.thumbnails_max_bytes)

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
        self.thumbnails.drop_orphans()
        return count


def _open_catalog(folder: Path) -> sqlite_utils.Database:
    """Open or make the catalogue, with the steps it lacks."""
    if sqlite3.sqlite_version_info < (3, 37):
        raise LibraryError(
            f"clew needs SQLite 3.37 or newer, and this Python has {sqlite3.sqlite_version}; "
            "another Python of this version, from python.org or conda, brings its own."
        )
    db = sqlite_utils.Database(folder / CATALOG_FILE)
    db.execute("PRAGMA page_size = 16384")  # whole vectors on a page
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last batches, never the file
    db.execute("PRAGMA foreign_keys = ON")
    try:
        migrations.apply(db)
        check_version(db.conn, folder)
    except BaseException:
        db.close()
        raise
    return db


def _make_folder(folder: Path) -> None:
    try:
        (folder / INDEX_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LibraryError(f"The library's folder {folder} cannot be made: {error.strerror}.") from error
