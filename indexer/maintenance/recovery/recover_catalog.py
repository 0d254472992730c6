"""Replace a damaged catalog by one with its readable rows.

The damaged one is kept. Files whose segments or vectors are not complete are left out, so that the next run
of `clew index` reads them again.
"""

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from indexer.maintenance.recovery.incomplete_contents import delete_incomplete
from indexer.maintenance.recovery.readable_rows import (
    copy_without_pages,
    readable_rows,
    recovered_database,
)
from indexer.sqlite_tools import sqlite_utils
from indexer.store.durability.catalog_connection import CatalogConnection
from indexer.store.durability.durable_files import sync
from indexer.store.durability.page_checksums import (
    DAMAGED,
    UNKNOWN,
    PageChecksums,
    page_checksum,
    read_checksums,
    write_checksums,
)
from indexer.store.durability.page_file import open_page_file
from indexer.store.writer import migrations, open_catalog
from retrieval.catalog.connection import log_path
from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.reader import add_functions
from retrieval.catalog.schema import CATALOG_FILE, CHECKSUMS_FILE, THUMBNAILS_FILE
from retrieval.formatting import pluralize

# Computed from the others.
DERIVED_TABLES = frozenset(
    (
        *("_sqlite_migrations", "change_count", "indexes", "index_tunings", "maps", "calibrations", "shards"),
        *("publications", "unpublished"),  # the next publish compares all rows of the server
    )
)
WORK_PREFIX = ".recovery-"
REPORTED_TABLES = {
    "files": "file",
    "segments": "segment",
    "concepts": "concept",
    "examples": "example",
    "saved_searches": "saved name",
}


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
    with suppress(sqlite3.DatabaseError):  # the log of a killed process
        CatalogConnection.open(folder).close()
    known = read_checksums(folder)
    for left in folder.glob(f"{WORK_PREFIX}*"):  # by a killed process
        shutil.rmtree(left, ignore_errors=True)
    kept = _keep(folder / CATALOG_FILE)
    with TemporaryDirectory(prefix=WORK_PREFIX, dir=folder) as work:
        copy, new = Path(work, "copy.sqlite"), Path(work, "new")
        copy_without_pages(kept, copy, damaged, known.page_size if known else None)
        source = recovered_database(copy, Path(work, "recovered.sqlite"))
        new.mkdir()
        with closing(sqlite3.connect(source)) as db:
            _copy_rows(db, new)
        with closing(open_catalog(new)) as target:  # migrated now
            delete_incomplete(target)
            now = {table: target.table(table).count for table in REPORTED_TABLES}
        _replace(folder, new / CATALOG_FILE, known)
    if not now["segments"]:  # their ids will be used again
        for part in ("", "-wal", "-shm"):
            (folder / f"{THUMBNAILS_FILE}{part}").unlink(missing_ok=True)
    CatalogConnection.open(folder).close()  # the checksums are now of the new catalog only
    return Recovery(kept, {} if known is None else known.row_counts, now)


def _keep(catalog: Path) -> Path:
    """Copy a damaged catalog and its log, durably."""
    kept = catalog.with_name(f"{CATALOG_FILE}.damaged-{datetime.now():%Y%m%d-%H%M%S-%f}")
    for source, target in ((catalog, kept), (log_path(catalog), log_path(kept))):
        if source.exists() and source.stat().st_size:
            shutil.copyfile(source, target)
            sync(target)
    return kept


def _copy_rows(db: sqlite3.Connection, folder: Path) -> None:
    """Copy the readable rows into a new catalog of the same version."""
    with closing(sqlite_utils.Database(CatalogConnection.open(folder))) as target:
        add_functions(target.conn)
        target.execute("PRAGMA foreign_keys = OFF")
        migrations.apply(target, stop_before=_first_missing_migration(db))
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


def _first_missing_migration(db: sqlite3.Connection) -> str | None:
    """Return the first migration that a damaged catalog of an earlier version lacks."""
    with suppress(sqlite3.DatabaseError):
        known = {row[0] for row in db.execute("SELECT name FROM _sqlite_migrations")}
        return next((name for name in MIGRATIONS if name not in known), None) if known else None
    return None


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


def _replace(folder: Path, new: Path, known: PageChecksums | None) -> None:
    """Put a new catalog in place; after a crash, the checksums fit either of the two."""
    catalog = folder / CATALOG_FILE
    log_path(catalog).unlink(missing_ok=True)  # a copy is kept
    catalog.with_name(f"{CATALOG_FILE}-shm").unlink(missing_ok=True)
    sync(new)
    with open_page_file(new.parent) as file:
        pages = list(map(page_checksum, file.read_all()))
    if known is None or known.page_size != file.page_size:
        (folder / CHECKSUMS_FILE).unlink(missing_ok=True)
    else:
        known.add_pending(enumerate(pages, 1))
        known.pages[known.pages == DAMAGED] = UNKNOWN
        write_checksums(folder, known)
    new.replace(catalog)
    sync(folder)
