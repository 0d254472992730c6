"""Replace a damaged catalog by one with its readable rows.

The damaged one is kept. Files whose segments or vectors are not complete are left out, so that the next run
of `clew index` reads them again.
"""

import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlite_utils

from indexer.maintenance.recovery.readable_rows import (
    copy_without_pages,
    readable_rows,
    recovered_database,
)
from indexer.store.durability.durable_files import sync
from indexer.store.durability.log_frames import log_path
from indexer.store.durability.page_checksums import (
    DAMAGED,
    UNKNOWN,
    PageChecksums,
    page_checksum,
    read_checksums,
    write_checksums,
)
from indexer.store.durability.page_file import open_page_file
from indexer.store.writer import open_catalog
from retrieval.catalog.schema import CATALOG_FILE, HAS_NO_VECTOR, THUMBNAILS_FILE, vectors_table
from retrieval.formatting import pluralize

# Computed from the others.
DERIVED_TABLES = frozenset(("_sqlite_migrations", "change_count", "indexes", "maps", "calibrations"))
KEYWORD_TABLES = ("text_words", "text_pieces", "name_words", "name_pieces")
WORK_PREFIX = ".recovery-"
REPORTED_TABLES = {"files": "file", "segments": "segment", "concepts": "concept", "saved_searches": "search"}


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovered catalog: the kept damaged one, and the rows of tables before, if known, and now."""

    kept: Path
    before: Mapping[str, int]
    now: Mapping[str, int]

    def __str__(self) -> str:
        counts = [
            f"{self.now[table]:,} of {pluralize(max(self.before[table], self.now[table]), noun)}"
            if table in self.before
            else pluralize(self.now[table], noun)
            for table, noun in REPORTED_TABLES.items()
            if self.before.get(table) or self.now[table]
        ]
        return (
            f"The catalog was damaged. Recovered {', '.join(counts) or 'nothing'}. `clew index` reads the "
            f"missing files again. The damaged catalog is {self.kept}."
        )


def recover_catalog(folder: Path, damaged: Sequence[int]) -> Recovery:
    """Replace the catalog by its readable rows outside of `damaged` pages. The library is locked."""
    known = read_checksums(folder)
    for left in folder.glob(f"{WORK_PREFIX}*"):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=WORK_PREFIX, dir=folder) as work:
        copy, new = Path(work, "copy.sqlite"), Path(work, "new")
        copy_without_pages(folder / CATALOG_FILE, copy, damaged, known.page_size if known else None)
        source = recovered_database(copy, Path(work, "recovered.sqlite"))
        new.mkdir()
        with closing(open_catalog(new)) as target, closing(sqlite3.connect(source)) as db:
            _copy_rows(db, target)
            _delete_incomplete(target)
            now = {table: target.table(table).count for table in REPORTED_TABLES}
        kept = _replace(folder, new / CATALOG_FILE, known)
    if not now["segments"]:  # their ids will be used again
        for part in ("", "-wal", "-shm"):
            (folder / f"{THUMBNAILS_FILE}{part}").unlink(missing_ok=True)
    return Recovery(kept, {} if known is None else known.row_counts, now)


def _copy_rows(db: sqlite3.Connection, target: sqlite_utils.Database) -> None:
    target.execute("PRAGMA foreign_keys = OFF")
    for statement in _vector_tables(db):
        target.execute(statement)
    tables = [row[0] for row in target.execute(_OWN_TABLES) if row[0] not in DERIVED_TABLES]
    with target.atomic():
        for table in tables:
            columns = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
            values = ", ".join("?" for _ in columns)
            target.conn.executemany(
                f"INSERT OR IGNORE INTO {table} VALUES ({values})", readable_rows(db, table, columns)
            )
        target.execute("UPDATE spaces SET indexed_to = 0")
        _delete_orphans(target, tables)
        _delete_incomplete(target)
        for table in KEYWORD_TABLES:
            target.execute(f"INSERT INTO {table} ({table}) VALUES ('rebuild')")
    target.execute("PRAGMA foreign_keys = ON")


# Tables that are neither virtual nor belong to a virtual one, roots before the names of their files.
_OWN_TABLES = """SELECT name FROM sqlite_master t WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'
    AND substr(name, 1, 7) != 'sqlite_' AND NOT EXISTS (
        SELECT 1 FROM sqlite_master v
         WHERE v.sql LIKE 'CREATE VIRTUAL%' AND substr(t.name, 1, length(v.name) + 1) = v.name || '_')
    ORDER BY name != 'roots'"""


def _vector_tables(db: sqlite3.Connection) -> list[str]:
    """Return the statements that create the tables of vectors of a damaged catalog."""
    with suppress(sqlite3.DatabaseError):
        query = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name GLOB 'vectors_[0-9]*'"
        return [row[0] for row in db.execute(query)]
    return []


def _delete_orphans(target: sqlite_utils.Database, tables: Sequence[str]) -> None:
    """Delete the rows that refer to lost ones."""
    references = [
        f"DELETE FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT {key} FROM {parent})"
        for table in tables
        for _, _, parent, column, key, *_ in target.execute(f"PRAGMA foreign_key_list({table})").fetchall()
    ]
    references += [
        f"DELETE FROM {table} WHERE segment NOT IN (SELECT id FROM segments)"
        for table in tables
        if table.startswith("vectors_")
    ]
    while sum(target.execute(statement).rowcount for statement in references):
        pass


def _delete_incomplete(target: sqlite_utils.Database) -> None:
    """Delete the contents that lack segments or vectors, with their files."""
    spaces = [row[0] for row in target.execute("SELECT id FROM spaces WHERE complete")]
    vectors = [
        f"""EXISTS (SELECT 1 FROM segments s WHERE s.content = c.id AND NOT ({HAS_NO_VECTOR})
                       AND NOT EXISTS (SELECT 1 FROM {vectors_table(space)} v WHERE v.segment = s.id))"""
        for space in spaces
    ]
    segments = "c.segments IS NOT (SELECT count(*) FROM segments s WHERE s.content = c.id)"
    is_incomplete = " OR ".join([segments, *vectors]) if spaces else "TRUE"
    target.execute("CREATE TEMP TABLE incomplete AS SELECT id FROM contents c WHERE " + is_incomplete)
    lost = "SELECT id FROM incomplete"
    target.execute(f"DELETE FROM files WHERE content IN ({lost})")
    for space in spaces:
        target.execute(
            f"""DELETE FROM {vectors_table(space)}
                 WHERE segment IN (SELECT id FROM segments WHERE content IN ({lost}))"""
        )
    for table in ("tags", "captions"):
        target.execute(
            f"DELETE FROM {table} WHERE segment IN (SELECT id FROM segments WHERE content IN ({lost}))"
        )
    for table in ("segments", "analyses", "keywords"):
        target.execute(f"DELETE FROM {table} WHERE content IN ({lost})")
    target.execute(f"DELETE FROM contents WHERE id IN ({lost})")
    target.execute("DROP TABLE incomplete")


def _replace(folder: Path, new: Path, known: PageChecksums | None) -> Path:
    """Put a new catalog in place and keep the old one; after a crash, the checksums fit either of them."""
    catalog = folder / CATALOG_FILE
    kept = folder / f"{CATALOG_FILE}.damaged-{datetime.now():%Y%m%d-%H%M%S}"
    os.link(catalog, kept)
    log = log_path(catalog)
    if log.exists() and log.stat().st_size:
        log.replace(log_path(kept))
    log.unlink(missing_ok=True)
    catalog.with_name(f"{CATALOG_FILE}-shm").unlink(missing_ok=True)
    if known is not None:
        with open_page_file(new.parent) as file:
            os.fsync(file.descriptor)
            known.add_pending(enumerate(map(page_checksum, file.read_all()), 1))
        known.pages[known.pages == DAMAGED] = UNKNOWN
        write_checksums(folder, known)
    new.replace(catalog)
    sync(folder)
    return kept
