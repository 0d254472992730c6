"""The committed state of a library, and the reports of a process about its commits.

A process reports the state that a transaction will leave before it commits, and again when it has committed.
After a kill, a library has the state that was last committed, or that of the commit in progress.
"""

import ctypes
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from retrieval.catalog.connection import InterruptibleConnection
from retrieval.catalog.schema import CATALOG_FILE

# Counts and migrations change without a row of the library, and the tables of FTS5 follow their triggers.
_UNCOUNTED_TABLES = frozenset(("change_count", "_sqlite_migrations"))
FINDABLE_IMAGES = """SELECT s.id, s.content FROM segments s WHERE s.kind = 'image'
    AND EXISTS (SELECT 1 FROM files f WHERE f.content = s.content AND f.state != 'gone') ORDER BY s.id"""
Segments = dict[str, str]  # id -> content, decoder and ordinal


@dataclass(frozen=True, slots=True)
class State:
    """The rows of a catalog as a digest, and its segments."""

    digest: str
    segments: Segments
    images: list[int]  # segments that a search for images finds


EMPTY = State(blake2b(digest_size=16).hexdigest(), {}, [])


def stored_tables(db: sqlite3.Connection) -> list[str]:
    """Return the tables of a catalog, without the virtual ones and theirs."""
    rows = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    virtual = tuple(f"{name}_" for name, sql in rows if sql.startswith("CREATE VIRTUAL"))
    return [
        name
        for name, sql in rows
        if not name.startswith(("sqlite_", *virtual))
        and not sql.startswith("CREATE VIRTUAL")
        and name not in _UNCOUNTED_TABLES
    ]


def state_of(db: sqlite3.Connection) -> State:
    """Return the state of a catalog, including that of an open transaction."""
    digest, tables = blake2b(digest_size=16), stored_tables(db)
    for table in tables:
        rows = sqlite3.Cursor(db).execute(f"SELECT * FROM {table}").fetchall()
        if rows:
            digest.update(repr((table, rows)).encode())
    segments: Segments = {}
    if "segments" in tables and "contents" in tables:
        query = "SELECT s.id, c.*, s.ordinal FROM segments s JOIN contents c ON c.id = s.content"
        rows = sqlite3.Cursor(db).execute(query)  # the third column is the decoder, which had another name
        segments = {str(id_): f"{hash_.hex()} {row[0]} {row[-1]}" for id_, _, hash_, *row in rows}
    images: list[int] = []
    if "files" in tables and segments:
        images = [row[0] for row in sqlite3.Cursor(db).execute(FINDABLE_IMAGES)]
    return State(digest.hexdigest(), segments, images)


def read_state(library: Path) -> State:
    """Return the committed state of a library."""
    if not (library / CATALOG_FILE).exists():
        return EMPTY
    with closing(connect(library)) as db:
        return state_of(db)


def connect(library: Path) -> sqlite3.Connection:
    """Open a catalog without changing its files, unless SQLite has to roll back its creation."""
    file = library / CATALOG_FILE
    db = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        db = sqlite3.connect(file)
    return db


def report_commits(report: Callable[[str, State], None]) -> None:
    """Report the state of each commit of this process, before and after it."""

    def execute(db: sqlite3.Connection, sql: str, *values: Any) -> sqlite3.Cursor:
        if not sql.startswith("COMMIT"):
            return sqlite3.Connection.execute(db, sql, *values)
        state = state_of(db)
        report("prepared", state)
        cursor = sqlite3.Connection.execute(db, sql, *values)
        report("committed", state)
        return cursor

    def commit(db: sqlite3.Connection) -> None:
        if db.in_transaction:
            execute(db, "COMMIT")

    InterruptibleConnection.execute = execute  # type: ignore[method-assign]
    InterruptibleConnection.commit = commit  # type: ignore[method-assign]


class Reports:
    """A file of reports, which a kill leaves complete up to the last line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self) -> None:
        """Report the commits of this process."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        mark = getattr(ctypes.CDLL(None), "faults_mark", None)
        commits = 0

        def report(phase: str, state: State) -> None:
            nonlocal commits
            line = json.dumps({"phase": phase, **asdict(state)})
            os.write(descriptor, f"{line}\n".encode())
            if phase == "committed":
                commits += 1
                if mark is not None:
                    mark(commits)

        report_commits(report)

    def read(self) -> Iterator[tuple[str, State]]:
        """Yield the phase and state of each report."""
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                row = json.loads(line)
                yield row.pop("phase"), State(**row)

    def allowed(self, before: State) -> tuple[State, list[State]]:
        """Return the last committed state, and the states that a kill may leave."""
        committed, prepared = before, before
        for phase, state in self.read():
            prepared = state
            if phase == "committed":
                committed = state
        return committed, [committed, prepared]

    def committed(self) -> list[State]:
        """Return the committed states in order."""
        return [state for phase, state in self.read() if phase == "committed"]
