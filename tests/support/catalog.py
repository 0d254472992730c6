"""The committed segments of a library, and catalogs in the schemas of older versions."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import sqlite_utils

from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.reader import add_functions
from retrieval.catalog.schema import CATALOG_FILE, CHECKSUMS_FILE

REPOSITORY_ROOT = Path(__file__).parents[2]


def committed_segments(library) -> set[tuple[bytes, str, int, str | None]]:
    """Return the committed segments of a library: (content hash, decoder, ordinal, text)."""
    if not (library / "catalogue.sqlite").exists():
        return set()
    with closing(sqlite3.connect(library / "catalogue.sqlite")) as db:
        # A run that was killed while it created the tables left them at an earlier version, and empty.
        columns = "SELECT 1 FROM pragma_table_info('contents') WHERE name = 'decoder'"
        if not db.execute(columns).fetchone():
            return set()
        return set(
            db.execute(
                """SELECT c.hash, c.decoder, s.ordinal, s.text
                     FROM segments s JOIN contents c ON c.id = s.content"""
            )
        )


# The decoder of a content before it had what was read of the name: "text" for "text/source".
PLAIN_DECODER = "substr(decoder, 1, instr(decoder || '/', '/') - 1)"
_COLUMN_VALUES = {  # renamed or moved by step 15: table, old column -> expression of the new schema
    ("archives", "how"): "options_hash",
    ("backgrounds", "asked"): "query_mode",
    ("calibrations", "asked"): "query_mode",
    ("captions", "picture"): "image",
    ("contents", "details"): """coalesce((SELECT CAST(version AS INTEGER) FROM new.analyses a
                                 WHERE a.content = t.id AND a.analysis = 'metadata'), 1)""",
    ("contents", "looks"): "perceptual_hash",
    ("contents", "decoder"): PLAIN_DECODER,
    ("contents", "reader"): PLAIN_DECODER,
    ("contents", "tiles"): """(SELECT count(*) FROM new.analyses a JOIN new.segments s USING (content)
                               WHERE a.content = t.id AND a.analysis = 'tiles' AND s.origin = 'tiles'
                              HAVING count(a.content))""",
    ("files", "picture"): "sidecar_of",
    ("files", "reader"): "decoder",
    ("labels", "how"): "rule",
    ("labels", "through"): "tagged_to",
    ("said", "how"): "analysis",
    ("said", "upto"): "progress",
    ("segments", "picture"): "caption_target",
    ("spaces", "through"): "indexed_to",
    ("spaces", "whole"): "complete",
}


def downgrade_catalog(library: Path, last_step: str) -> Path:
    """Rebuild the catalog in the schema after this migration step; return the library folder."""
    new, old = library / CATALOG_FILE, library / "older.sqlite"
    steps = list(MIGRATIONS)[: list(MIGRATIONS).index(last_step) + 1]
    db = sqlite_utils.Database(old)
    add_functions(db.conn)
    migrations = sqlite_utils.Migrations("clew")
    for step in steps:
        migrations(name=step)(lambda db, step=step: [db.execute(statement) for statement in MIGRATIONS[step]])
    migrations.apply(db)
    db.execute("ATTACH ? AS new", (str(new),))
    for row in list(db.query("SELECT name, sql FROM new.sqlite_master WHERE name LIKE 'vectors_%'")):
        db.execute(row["sql"])
    tables = [
        name for name in db.table_names() if not name.startswith(("_sqlite", "sqlite", "text_", "name_"))
    ]
    for table in tables:
        columns = [column.name for column in db[table].columns]
        names = ", ".join(f'"{column}"' for column in columns)
        values = ", ".join(_COLUMN_VALUES.get((table, column), f'"{column}"') for column in columns)
        source = "analyses" if table == "said" else table
        where = "WHERE analysis IN ('ocr', 'speech')" if table == "said" else ""
        db.conn.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM new.{source} t {where}")
    db.conn.commit()
    db.close()
    old.replace(new)
    (library / CHECKSUMS_FILE).unlink(missing_ok=True)  # which older versions did not write
    return library


@contextmanager
def edit_catalog(library: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to change rows as an older version of clew has left them, without checksums."""
    with closing(sqlite3.connect(library / CATALOG_FILE)) as db, db:
        yield db
    (library / CHECKSUMS_FILE).unlink(missing_ok=True)


@cache
def _empty_catalog_bytes() -> bytes:
    """Return an empty catalog as SQLite would store it; the migrations take 50 ms."""
    with closing(sqlite3.connect(":memory:")) as db:
        add_functions(db)
        for statements in MIGRATIONS.values():
            for statement in statements:
                db.execute(statement)
        db.commit()
        return db.serialize()


def empty_catalog() -> sqlite_utils.Database:
    """Return a catalog in memory with the current schema and no rows."""
    db = sqlite_utils.Database(memory=True)
    add_functions(db.conn)
    db.conn.deserialize(_empty_catalog_bytes())
    return db
