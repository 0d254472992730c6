"""The tables of new catalogs, in current_schema.sql, equal those that the migrations make.

After a new migration, rewrite the file: python -m tests.architecture.test_catalog_schema
"""

import sqlite3
from collections.abc import Iterable

from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.reader import add_functions
from retrieval.catalog.schema import CURRENT_SCHEMA_FILE

# Without what SQLite adds: automatic indexes, and the tables inside full-text tables.
STATEMENTS = """SELECT sql, iif(type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%', name, NULL)
                FROM sqlite_master m WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*' AND NOT EXISTS
                (SELECT 1 FROM sqlite_master v WHERE v.sql LIKE 'CREATE VIRTUAL%' AND m.type = 'table' AND
                 m.name IN (v.name || '_data', v.name || '_idx', v.name || '_docsize', v.name || '_config'))
                ORDER BY rowid"""


def catalog_of(statements: Iterable[str]) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    add_functions(db)
    for statement in statements:
        db.execute(statement)
    return db


def migrated() -> sqlite3.Connection:
    """Return an empty catalog that each migration has changed."""
    return catalog_of(statement for statements in MIGRATIONS.values() for statement in statements)


def current_schema() -> str:
    """Return the statements that make the tables and rows of a migrated catalog."""
    db = migrated()
    found = list(db.execute(STATEMENTS))
    rows = ((name, row) for _, name in found if name for row in db.execute(f"SELECT * FROM {name}"))
    inserts = [f"INSERT INTO {name} VALUES ({', '.join(map(repr, row))})" for name, row in rows]
    return "\n\n".join([*(sql for sql, _ in found), *inserts]) + "\n"


def contents(db: sqlite3.Connection) -> tuple[list[tuple[str, ...]], dict[str, list[tuple[object, ...]]]]:
    """Return the statements of all tables, indexes, views and triggers in their order, and all rows."""
    schema = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid").fetchall()
    tables = [name for kind, name, _, sql in schema if kind == "table" and "VIRTUAL" not in sql]
    return schema, {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def test_schema_of_a_new_catalog_is_that_of_a_migrated_one():
    created = catalog_of(CURRENT_SCHEMA_FILE.read_text("utf-8").split("\n\n"))
    assert contents(created) == contents(migrated())


if __name__ == "__main__":
    CURRENT_SCHEMA_FILE.write_text(current_schema(), "utf-8")
