"""Read the database of rclip.

rclip, versions 1 to 3.3 (rclip/db.py, main.py and model.py): one table `images` of absolute paths, with the
size and `st_mtime` of each file and its unit vector in 32-bit floats.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from indexer.imports.base import StoredImage
from retrieval.catalog.connection import connect_read_only
from retrieval.errors import LibraryError, QueryError
from retrieval.types import Vectors

DATABASE_FILE = "db.sqlite3"
COLUMNS = frozenset(("id", "deleted", "filepath", "modified_at", "size", "vector"))
MODELS = {  # version of the database -> model
    1: "ViT-B-32-quickgelu/openai",
    2: "ViT-B-32-quickgelu/openai",
    3: "ViT-B-32-256/datacomp_s34b_b86k",
    4: "ViT-B-32-256/datacomp_s34b_b86k",  # with a column `hash`
}


class RclipDatabase:
    """The images of a database of rclip."""

    program = "rclip"

    def __init__(self, path: Path) -> None:
        """Open a database read-only; raises QueryError."""
        self.path = path
        journal = path.with_name(f"{path.name}-journal")
        if journal.exists() and journal.stat().st_size:
            raise QueryError(f"rclip is writing {path}, or was interrupted. Run rclip to the end first.")
        try:
            self._db = connect_read_only(path).db
        except (sqlite3.DatabaseError, LibraryError, OSError, ValueError) as error:
            raise QueryError(f"Cannot read {path} as the database of rclip: {error}.") from error
        try:
            columns = {row[1] for row in self._db.execute("PRAGMA table_info(images)")}
            if columns < COLUMNS:
                raise QueryError(f"{path} is not a database of rclip: it has no table of images.")
            self.model = MODELS.get(self._version())
        except (sqlite3.DatabaseError, ValueError) as error:  # ValueError: a name that is not UTF-8
            self._db.close()
            raise QueryError(f"Cannot read {path} as the database of rclip: {error}.") from error
        except BaseException:
            self._db.close()
            raise

    def _version(self) -> int:
        """Return the version of the tables; the first one stored none."""
        try:
            row = self._db.execute("SELECT CAST(version AS INTEGER) FROM db_version").fetchone()
        except sqlite3.OperationalError:  # no such table
            return 1
        return 1 if row is None else int(row[0] or 0)

    def images(self) -> Iterator[StoredImage]:
        """Yield the images that were not deleted."""
        query = """SELECT id, CAST(filepath AS BLOB), CAST(size AS INTEGER), CAST(modified_at AS REAL)
                     FROM images WHERE deleted IS NULL ORDER BY id"""
        try:
            for image in map(StoredImage._make, self._db.execute(query)):
                if isinstance(image.path, bytes):  # a damaged database has NULL where it must not
                    yield image
        except sqlite3.DatabaseError as error:
            raise QueryError(f"Cannot read {self.path}: {error}.") from error

    def vectors(self, rows: Sequence[int]) -> list[Vectors]:
        """Return the vectors of rows; empty for one that is missing or has no whole number of floats."""
        query = "SELECT CAST(vector AS BLOB) FROM images WHERE id = ?"
        try:
            found = [self._db.execute(query, (row,)).fetchone() for row in rows]
        except sqlite3.DatabaseError as error:
            raise QueryError(f"Cannot read {self.path}: {error}.") from error
        return [_as_vector(b"" if row is None else row[0] or b"") for row in found]

    def close(self) -> None:
        """Close the database."""
        self._db.close()


def _as_vector(data: bytes) -> Vectors:
    """Return 32-bit floats, (d,)."""
    return np.frombuffer(data if len(data) % 4 == 0 else b"", "<f4")
