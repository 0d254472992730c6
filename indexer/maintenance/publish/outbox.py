"""The changes of a catalog that are not published yet.

Triggers on the vectors of a published space record each segment whose vector is inserted, changed or deleted.
A library without a server has no triggers.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import time

import numpy as np

from indexer.sqlite_tools import sqlite_utils
from indexer.store.settings import save_settings
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import vectors_table
from retrieval.catalog.settings import LibrarySettings
from retrieval.types import Ids, Space
from retrieval.vectors.milvus.server import ServerAddress

EVENTS = {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}
MAX_REVISION = 2**62


def set_server(writer: LibraryWriter, address: str | None) -> bool:
    """Save the address of the server, None for the files of the library; return True if it has changed.

    What was recorded for another server is deleted; its collections stay there. Paths are saved as absolute
    ones. Raises VectorServerError if the address is invalid.
    """
    settings = writer.settings()
    if address is not None:
        address = ServerAddress.parse(address).text
    if settings.vectors_url == address:
        return False
    id_ = settings.library_id or secrets.token_hex(6)
    with writer.db.atomic():
        save_settings(writer.db, replace(settings, vectors_url=address, library_id=id_))
        for space in writer.catalog.spaces():
            for event in EVENTS:
                writer.db.execute(f"DROP TRIGGER IF EXISTS {_trigger(space, event)}")
        writer.db.execute("DELETE FROM publications")
        writer.db.execute("DELETE FROM unpublished")
    return True


@dataclass(frozen=True, slots=True)
class Outbox:
    """The tables `publications` and `unpublished` of a space, for writing."""

    db: sqlite_utils.Database
    space: Space
    collection: str

    def attach(self) -> None:
        """Record the changes of the space from now on, unless they are recorded already."""
        table, record = (
            vectors_table(self.space.id),
            f"INSERT OR IGNORE INTO unpublished VALUES ({self.space.id}",
        )
        with self.db.atomic():
            self.db.execute(
                """INSERT OR IGNORE INTO publications (collection, space, revision, previous)
                   VALUES (?, ?, 0, 0)""",
                (self.collection, self.space.id),
            )
            for event, row in EVENTS.items():
                self.db.execute(
                    f"""CREATE TRIGGER IF NOT EXISTS {_trigger(self.space, event)} AFTER {event} ON {table}
                        BEGIN {record}, {row}.segment); END"""
                )

    def add_all(self) -> None:
        """Record all segments of the space."""
        table = vectors_table(self.space.id)
        with self.db.atomic():
            self.db.execute(
                f"INSERT OR IGNORE INTO unpublished SELECT ?, segment FROM {table}", (self.space.id,)
            )

    def add(self, segments: Ids) -> None:
        """Record segments whose rows on the server are missing, outdated or superfluous."""
        rows = ((self.space.id, segment) for segment in segments.tolist())
        with self.db.atomic():
            self.db.conn.executemany("INSERT OR IGNORE INTO unpublished VALUES (?, ?)", rows)

    def next(self, count: int) -> Ids:
        """Return the first `count` recorded segments, ascending."""
        query = "SELECT segment FROM unpublished WHERE space = ? ORDER BY segment LIMIT ?"
        rows = self.db.conn.execute(query, (self.space.id, count)).fetchall()
        return np.array([row[0] for row in rows], np.int64)

    def count(self) -> int:
        """Return the number of recorded segments."""
        query = "SELECT count(*) FROM unpublished WHERE space = ?"
        return int(self.db.conn.execute(query, (self.space.id,)).fetchone()[0])

    def remove(self, segments: Ids) -> None:
        """Remove segments that the server has confirmed, all those between the first and the last."""
        with self.db.atomic():
            self.db.execute(
                "DELETE FROM unpublished WHERE space = ? AND segment BETWEEN ? AND ?",
                (self.space.id, int(segments[0]), int(segments[-1])),
            )
            self._update("written = ?", time())

    def new_revision(self, known: set[int]) -> int:
        """Save and return a new revision, before it is written to the server, which has one of `known`."""
        revision = secrets.randbelow(MAX_REVISION - 1) + 1
        with self.db.atomic():
            self._update("previous = ?, revision = ?, written = ?", max(known, default=0), revision, time())
        return revision

    def set_complete(self) -> None:
        """Record that the server has all vectors."""
        with self.db.atomic():
            self._update("complete = ?", 1)

    def _update(self, assignments: str, *values: float) -> None:
        query = f"UPDATE publications SET {assignments} WHERE collection = ?"
        self.db.execute(query, (*values, self.collection))


def dropped_collections(db: sqlite_utils.Database) -> Sequence[str]:
    """Return the collections of spaces that were deleted."""
    return [row[0] for row in db.conn.execute("SELECT collection FROM publications WHERE space IS NULL")]


def forget_collection(db: sqlite_utils.Database, collection: str) -> None:
    """Delete the record of a collection."""
    with db.atomic():
        db.execute("DELETE FROM publications WHERE collection = ?", (collection,))


def is_publish_due(writer: LibraryWriter) -> bool:
    """Return True if the library has a server that lacks changes."""
    execute = writer.db.conn.execute
    if not LibrarySettings.read(writer.db.conn).vectors_url:
        return False
    incomplete = execute("SELECT 1 FROM publications WHERE space IS NULL OR NOT complete LIMIT 1").fetchone()
    missing = execute(
        "SELECT 1 FROM spaces WHERE id NOT IN (SELECT space FROM publications WHERE space IS NOT NULL)"
    ).fetchone()
    pending = execute("SELECT 1 FROM unpublished LIMIT 1").fetchone()
    return any(row is not None for row in (incomplete, missing, pending))


def _trigger(space: Space, event: str) -> str:
    return f"{vectors_table(space.id)}_{event.lower()}"
