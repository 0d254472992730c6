"""Read the rows of a damaged SQLite database that SQLite can still read."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryFile

from indexer.store.durability.page_file import PageFile
from retrieval.catalog.connection import log_path

Row = tuple[object, ...]
ERASED = b"~ erased by clew ~"  # fills damaged pages; a value that contains it was partly on one of them
MAX_FAILED_READS = 200_000  # of ranges of a table, so that a damaged root ends soon
MAX_GUESSED_ID = 1 << 24  # of a table whose last row cannot be read


def copy_without_pages(database: Path, copy: Path, pages: Sequence[int], page_size: int | None) -> None:
    """Copy a database with its log and erase damaged pages, so that no row is read from them."""
    shutil.copyfile(database, copy)
    if log_path(database).exists():
        shutil.copyfile(log_path(database), log_path(copy))
    if page_size is None:
        return
    content = (bytes(4) + ERASED * (page_size // len(ERASED) + 1))[:page_size]  # also of a last overflow page
    with copy.open("r+b") as opened:
        PageFile(opened.fileno(), page_size).write(dict.fromkeys(pages, content))


def recovered_database(database: Path, target: Path) -> Path:
    """Return a database made by `sqlite3 .recover`, which finds rows whose tree is damaged.

    Without that program, or if it fails, return the database itself.
    """
    program = shutil.which("sqlite3")
    if program is None:
        return database
    with suppress(OSError), TemporaryFile(dir=target.parent) as statements:
        command = [program, "-readonly", str(database), ".recover"]
        failed = subprocess.call(command, stdout=statements, stderr=DEVNULL)
        statements.seek(0)
        if not failed and not subprocess.call(
            [program, str(target)], stdin=statements, stdout=DEVNULL, stderr=DEVNULL
        ):
            return target
    return database


def readable_rows(db: sqlite3.Connection, table: str, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the readable rows of a table, in any order, some of them twice."""
    names = ", ".join(f'"{column}"' for column in columns)
    try:
        db.execute(f"SELECT rowid FROM {table} LIMIT 0")
    except sqlite3.DatabaseError as error:
        if "no such column" in str(error):
            yield from _rows_from_both_ends(db, table, names)
        return
    yield from _rows_up_to(db, f"SELECT {names} FROM {table}", _last_id(db, table))


def _last_id(db: sqlite3.Connection, table: str) -> int:
    """Return the greatest row id of a table, or a greater number."""
    for query in (f"SELECT max(rowid) FROM {table}", "SELECT max(seq) FROM sqlite_sequence"):
        with suppress(sqlite3.DatabaseError):
            return int(db.execute(query).fetchone()[0] or 0)
    return MAX_GUESSED_ID


def _rows_up_to(db: sqlite3.Connection, query: str, last: int) -> Iterator[Row]:
    """Yield the rows with ids from 0 to `last`; an unreadable range is halved."""
    ranges, failures = [(0, last)], 0
    while ranges and failures < MAX_FAILED_READS:
        first, last = ranges.pop()
        try:
            rows = db.execute(f"{query} WHERE rowid BETWEEN ? AND ?", (first, last)).fetchall()
        except sqlite3.DatabaseError:
            failures += 1
            if first < last:
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]
            continue
        yield from filter(_is_readable, rows)


def _rows_from_both_ends(db: sqlite3.Connection, table: str, names: str) -> Iterator[Row]:
    """Yield the rows of a table without ids, from both ends to the first unreadable one."""
    described = sorted(db.execute(f"PRAGMA table_info({table})"), key=lambda row: int(row[5]))
    key = [row[1] for row in described if row[5]]
    for direction in ("ASC", "DESC"):
        order = ", ".join(f'"{column}" {direction}' for column in key)
        with suppress(sqlite3.DatabaseError):
            yield from filter(_is_readable, db.execute(f"SELECT {names} FROM {table} ORDER BY {order}"))
            return


def _is_readable(row: Row) -> bool:
    """Return False if a value contains a part of an erased page, at its end perhaps a short one."""
    for value in row:
        data = value.encode() if isinstance(value, str) else value
        if isinstance(data, bytes) and (ERASED in data or _ends_erased(data)):
            return False
    return True


def _ends_erased(data: bytes) -> bool:
    return any(data.endswith(ERASED[:length]) for length in range(3, len(ERASED)))
