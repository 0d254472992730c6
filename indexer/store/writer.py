"""Write files, segments and vectors into the catalog."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from indexer.decode.registry import describes_other_files
from indexer.sqlite_tools import sqlite_utils
from indexer.store.analyses import Analysis, PartialResult, is_saved, set_progress
from indexer.store.caption_links import Captions
from indexer.store.contents import Contents, update_capture_time
from indexer.store.durability.catalog_connection import CatalogConnection
from indexer.store.location import make_library_folder
from indexer.store.lock import library_lock
from indexer.store.mounts import Mounts
from indexer.store.roots import Roots
from indexer.store.settings import save_settings
from indexer.store.spaces import Spaces, delete_vectors_of_silent_sounds
from indexer.store.thumbnails import NewThumbnail, ThumbnailFile
from indexer.types import DEFAULT_BATCH_LIMITS, BatchLimits
from retrieval.catalog.connection import check_version
from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.reader import Catalog, add_functions
from retrieval.catalog.schema import CATALOG_FILE, CURRENT_SCHEMA_FILE, vectors_table
from retrieval.catalog.settings import LibrarySettings
from retrieval.catalog.thumbnails import ThumbnailKey
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryError, LibraryMissing, SpaceMismatch, describe_differences
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.types import VISUAL_KINDS, MediaProperties, Space, Vectors

if TYPE_CHECKING:
    from indexer.decode.base import SegmentDraft
    from indexer.decode.reader import ReadResult

migrations = sqlite_utils.Migrations("clew")
for _name, _statements in MIGRATIONS.items():

    @migrations(name=_name)
    def _step(db: sqlite_utils.Database, statements: Sequence[str] = _statements) -> None:
        for statement in statements:
            db.execute(statement)


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Consecutive segments of a file and their vectors."""

    read_result: "ReadResult"
    drafts: "Sequence[SegmentDraft]" = ()
    first_ordinal: int = 0
    is_last: bool = True
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class WriteCounts:
    """Counts of a transaction: files added, updated, unchanged and failed, and new segments by kind."""

    files: Counter[str] = field(default_factory=Counter)
    segments: Counter[str] = field(default_factory=Counter)


class LibraryWriter:
    """The only writer of a library, as a context manager."""

    embedder: Embedder

    def __init__(
        self,
        folder: Path,
        embedder_factory: Callable[[Space | None], Embedder] | None = None,
        batch_limits: BatchLimits = DEFAULT_BATCH_LIMITS,
        decode_limits: DecodeLimits = DEFAULT_LIMITS,
    ) -> None:
        """Write to the library in `folder`.

        `embedder_factory` gets the active space, or None for a new library. Without it the library must
        exist, and no files can be added. Files are decoded within `decode_limits`.
        """
        self.folder, self.batch_limits, self.decode_limits = folder, batch_limits, decode_limits
        self._embedder_factory = embedder_factory
        self._read_again = set[int]()  # contents that this writer has read
        self._confirmed = set[int]()  # contents read in part of which a new reading gave the same

    def __enter__(self) -> Self:
        """Lock the library, migrate its tables, and find or create the space of the embedder."""
        self._exit_stack = ExitStack()
        is_new = not (self.folder / CATALOG_FILE).exists()
        if is_new and self._embedder_factory is not None:
            self.embedder = self._embedder_factory(None)  # an error leaves no library
        with ExitStack() as entered:
            make_library_folder(self.folder)
            self.progress_file = entered.enter_context(library_lock(self.folder))
            self.db = entered.enter_context(open_catalog(self.folder))
            self.roots = Roots(self.db)
            self.mounts = Mounts(self.db)
            self.captions = Captions(self.db)
            self.contents = Contents(self.db)
            self.catalog = Catalog.open(self.folder, follows_writer=True)
            entered.callback(self.catalog.close)
            self.thumbnails = ThumbnailFile(self.catalog)
            entered.callback(self.thumbnails.close)
            self.spaces = Spaces(self.db, self.catalog)
            self.space_id = self._find_space(is_new)
            self._exit_stack = entered.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit_stack.close()

    def _find_space(self, is_new: bool) -> int:
        """Return the id of the active space; a new or empty library gets that of the embedder."""
        space = self.catalog.space()
        if self._embedder_factory is None:
            if space is None:
                raise LibraryMissing(self.folder)
            return space.id
        if space is not None or not is_new:
            self.embedder = self._embedder_factory(space)
        has_changed = space is not None and space.fingerprint != self.embedder.fingerprint
        if space is not None and has_changed and not self.db.table("contents").count:
            self.spaces.delete(space)
            space = None
        if space is None:
            with self.db.atomic():
                id_ = self.spaces.insert(self.embedder, complete=True)
                save_settings(self.db, replace(self.settings(), active_space=self.embedder.name))
            return id_
        if has_changed:
            differences = describe_differences(space.parts, self.embedder.parts)
            raise SpaceMismatch(self.embedder.name, space.name, differences)
        self.spaces.save_arch(space, self.embedder)
        return space.id

    def writing(self) -> AbstractContextManager[Self]:
        """Return this writer, which stays locked."""
        return nullcontext(self)

    @property
    def wants_thumbnails(self) -> bool:
        """Return True if there is space for thumbnails."""
        return self.thumbnails.is_accepting

    @property
    def connection(self) -> CatalogConnection:
        """The connection of the catalog."""
        connection: CatalogConnection = self.db.conn
        return connection

    def is_known(self, digest: bytes, decoder: str, *, retry: bool = False) -> bool:
        """Return True if a content is committed; with `retry`, only if all of it was read. Thread-safe."""
        query = """SELECT 1 FROM contents WHERE hash = ? AND decoder = ? AND segments IS NOT NULL
                      AND NOT (? AND note IS NOT NULL)"""
        return self.catalog.db.execute(query, (digest, decoder, retry)).fetchone() is not None

    def write(self, root: int, chunks: Sequence[FileChunk]) -> WriteCounts:
        """Commit a batch in one transaction.

        The row of a file is inserted together with its last segments. After a crash in between, the earlier
        segments exist but are not visible, and the next run continues from them. Thumbnails are written after
        the commit; a crash may lose them.
        """
        counts, new_thumbnails = WriteCounts(), list[NewThumbnail]()
        with self.db.atomic():
            for chunk in chunks:
                failed = chunk.read_result.error is not None
                content = None if failed else self._write_content(chunk, counts.segments, new_thumbnails)
                if chunk.is_last:
                    counts.files[self._write_file(root, chunk.read_result, content)] += 1
        self.thumbnails.save(new_thumbnails)
        return counts

    def _write_content(
        self, chunk: FileChunk, counts: Counter[str], new_thumbnails: list[NewThumbnail]
    ) -> int:
        """Insert a content and its segments as far as they are missing, and return its id.

        Thumbnails of the new segments are added to `new_thumbnails`.
        """
        read, decoded = chunk.read_result, chunk.read_result.decoded
        key, taken = (read.digest, read.content_decoder), decoded.properties.taken
        execute = self.db.conn.execute
        query = "SELECT id, segments, note FROM contents WHERE hash = ? AND decoder = ?"
        row = execute(query, key).fetchone() or (self.contents.insert(*key, decoded.properties), None, None)
        id_, is_new = int(row[0]), row[1] is None
        if row[1] is not None and row[2] is not None and chunk.drafts and id_ not in self._read_again:
            if id_ in self._confirmed or self.contents.is_same(id_, decoded, self.space_id, chunk.vectors):
                self._confirmed.add(id_)
            else:
                self._empty_content(id_, decoded.properties)
                is_new = True
        if taken is not None and not is_new and not chunk.drafts:
            self.contents.write_time(id_, taken, decoded.properties.zone)
        if is_new:
            self._read_again.add(id_)
            stored = execute("SELECT count(*) FROM segments WHERE content = ?", (id_,)).fetchone()[0]
            for at in range(max(0, stored - chunk.first_ordinal), len(chunk.drafts)):
                draft, ordinal = chunk.drafts[at], chunk.first_ordinal + at
                segment = self._write_segment(id_, ordinal, draft, chunk.vectors[at])
                counts["part" if draft.is_image_part else draft.kind] += 1
                if (draft.kind in VISUAL_KINDS and draft.box is None) or draft.thumbnail is not None:
                    new_thumbnails.append(NewThumbnail(ThumbnailKey(segment, *key, ordinal), draft.thumbnail))
            if chunk.is_last:
                count = chunk.first_ordinal + len(chunk.drafts)
                query = "UPDATE contents SET segments = ?, note = ?, assumption = ? WHERE id = ?"
                execute(query, (count, decoded.note, decoded.assumption, id_))
        return id_

    def _empty_content(self, content: int, properties: MediaProperties) -> None:
        """Delete all segments of a content that was read in part, before those of a new reading.

        Its files are read again if that is interrupted.
        """
        execute = self.db.conn.execute
        query = "SELECT DISTINCT origin FROM segments WHERE content = ?"
        for (origin,) in execute(query, (content,)).fetchall():
            self._delete_results(origin, content)
        kept = "('metadata', 'scenes', 'text')"
        execute(f"DELETE FROM analyses WHERE content = ? AND analysis NOT IN {kept}", (content,))
        execute("UPDATE contents SET segments = NULL WHERE id = ?", (content,))
        execute("UPDATE files SET retry = 1 WHERE content = ?", (content,))
        self.contents.write_properties(content, properties)

    def _write_segment(
        self, content: int, ordinal: int, draft: "SegmentDraft", vector: Vectors, origin: str = "file"
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
        if draft.has_vector:
            self.spaces.check_vector(int(row.lastrowid or 0), vector)
            self.db.conn.execute(
                f"INSERT INTO {vectors_table(self.space_id)} VALUES (?, ?)",
                (row.lastrowid, vector.astype(np.float16).tobytes()),
            )
        return int(row.lastrowid or 0)

    def save_results(
        self, analysis: Analysis, version: str, results: Sequence[PartialResult], vectors: Vectors
    ) -> Counter[str]:
        """Commit results of an analysis with the vectors of their drafts, (n, d); count new segments by kind.

        The results that another version has left in these contents are deleted. Contents that were purged,
        and parts that another process has analyzed meanwhile, are left out.
        """
        new_segments, start, db = Counter[str](), 0, self.db.conn
        other_version = "SELECT 1 FROM analyses WHERE content = ? AND analysis = ? AND version != ?"
        with self.db.atomic():
            for result in results:
                end = start + len(result.drafts)
                if not self.contents.exists(result.content) or is_saved(db, result, analysis, version):
                    start = end
                    continue
                if db.execute(other_version, (result.content, analysis, version)).fetchone():
                    self._delete_results(analysis, result.content)
                self._append_segments(result.content, analysis, result.drafts, vectors[start:end])
                set_progress(db, result.content, analysis, version, result.progress)
                new_segments.update("part" if draft.is_image_part else draft.kind for draft in result.drafts)
                start = end
        return new_segments

    def replace_segments(
        self, content: int, drafts: "Sequence[SegmentDraft]", vectors: Vectors, outdated: Sequence[Analysis]
    ) -> None:
        """Replace the segments of a file that was decoded again, within a transaction.

        The results of outdated analyses are deleted, and these are pending again.
        """
        db = self.db.conn
        self._delete_results("file", content)
        for analysis in outdated:
            self._delete_results(analysis, content)
            db.execute("DELETE FROM analyses WHERE content = ? AND analysis = ?", (content, analysis))
        db.execute(  # the results of other analyses follow the new segments
            """UPDATE segments SET ordinal = ordinal + ?2
                       + (SELECT max(ordinal) + 1 FROM segments WHERE content = ?1) WHERE content = ?1""",
            (content, len(drafts)),
        )
        for ordinal, draft in enumerate(drafts):
            self._write_segment(content, ordinal, draft, vectors[ordinal])
        db.execute("UPDATE contents SET segments = segments + ? WHERE id = ?", (len(drafts), content))

    def _delete_results(self, origin: str, content: int) -> None:
        """Delete the segments of an origin from a content, within a transaction."""
        db = self.db.conn
        query = "SELECT id FROM segments WHERE content = ? AND origin = ?"
        ids = db.execute(query, (content, origin)).fetchall()
        for space in self.catalog.spaces():
            db.executemany(f"DELETE FROM {vectors_table(space.id)} WHERE segment = ?", ids)
        db.executemany("DELETE FROM segments WHERE id = ?", ids)
        db.execute("UPDATE contents SET segments = segments - ? WHERE id = ?", (len(ids), content))

    def _append_segments(
        self, content: int, origin: Analysis, drafts: "Sequence[SegmentDraft]", vectors: Vectors
    ) -> None:
        """Append the segments of an analysis to a complete content, within a transaction."""
        query = "SELECT coalesce(max(ordinal), -1) + 1 FROM segments WHERE content = ?"
        first = self.db.conn.execute(query, (content,)).fetchone()[0]
        for at, draft in enumerate(drafts):
            self._write_segment(content, first + at, draft, vectors[at], origin)
        query = "UPDATE contents SET segments = segments + ? WHERE id = ?"
        self.db.conn.execute(query, (len(drafts), content))

    def _write_file(self, root: int, read_result: "ReadResult", content: int | None) -> str:
        """Insert or update the row of a file; return "failed", "added", "updated" or "unchanged"."""
        entry = read_result.entry
        file, change = self.roots.write_file(root, read_result, content)
        if describes_other_files(entry.decoder) and not read_result.transient:
            self.captions.save_links(file, entry.path, content)
        elif change != "added" and not read_result.transient:  # it may have been a table of captions
            self.captions.delete_links(file)
        update_capture_time(self.db.conn, root, entry.sidecar_of or entry.path)
        if read_result.error is not None:
            return "failed"
        return "updated" if change == "unchanged" and content in self._read_again else change

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
        """Delete gone files and contents without a file; return the number of deleted segments."""
        with self.db.atomic():
            self.db.execute("DELETE FROM files WHERE state = 'gone'")
            lost = "SELECT id FROM contents c WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.content = c.id)"
            segments = f"SELECT id FROM segments WHERE content IN ({lost})"
            for space in list(self.db.query("SELECT id FROM spaces")):
                self.db.execute(f"DELETE FROM {vectors_table(space['id'])} WHERE segment IN ({segments})")
            count = int(self.db.execute(f"DELETE FROM segments WHERE content IN ({lost})").rowcount)
            self.db.execute(f"DELETE FROM contents WHERE id IN ({lost})")
        self.thumbnails.drop_orphans()
        with suppress(sqlite3.OperationalError):  # the disk is full; the next purge shrinks the file
            self.db.execute("VACUUM")
        return count


def open_catalog(folder: Path) -> sqlite_utils.Database:
    """Open or create the catalog and apply missing migrations."""
    if sqlite3.sqlite_version_info < (3, 37):
        raise LibraryError(
            f"clew needs SQLite 3.37 or newer; this Python has {sqlite3.sqlite_version}. "
            "Use a Python from python.org or conda, which includes a newer one."
        )
    db = sqlite_utils.Database(CatalogConnection.open(folder))
    add_functions(db.conn)
    try:
        if pending := [migration.name for migration in migrations.pending(db)]:
            with db.atomic():  # all or none, so that a crash leaves no library between two versions
                if len(pending) == len(MIGRATIONS):
                    _create_tables(db)
                migrations.apply(db)
                if "22-calibrated-lists" in pending:
                    delete_vectors_of_silent_sounds(db)
        check_version(db.conn, folder)
    except BaseException:
        db.close()
        raise
    return db


def _create_tables(db: sqlite_utils.Database) -> None:
    """Create the tables of a new catalog, and record that no migration is missing."""
    for statement in CURRENT_SCHEMA_FILE.read_text("utf-8").split("\n\n"):
        db.execute(statement)
    migrations.ensure_migrations_table(db)
    now = str(datetime.now(UTC))
    applied = [{"migration_set": migrations.name, "name": name, "applied_at": now} for name in MIGRATIONS]
    db.table(migrations.migrations_table).insert_all(applied)
