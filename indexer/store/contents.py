"""Where contents, and what they say of themselves, are written."""

from collections.abc import Sequence
from dataclasses import asdict

import sqlite_utils

from indexer.decode.metadata.properties import VERSION
from retrieval.types import Details


class Contents:
    """The tables `contents` and `keywords`, for writing."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self.db = db

    def insert(self, digest: bytes, reader: str, details: Details) -> int:
        """Insert a content whose segments are to follow, within a transaction; returns its id."""
        query = "INSERT INTO contents (hash, reader) VALUES (?, ?) RETURNING id"
        (row,) = self.db.conn.execute(query, (digest, reader)).fetchall()
        self._write(int(row[0]), details)
        return int(row[0])

    def outdated(self) -> list[int]:
        """Return the contents that older readers have read, and that are there to be read again."""
        query = """SELECT c.id FROM contents c
                    WHERE c.details < ? AND c.reader IN ('picture', 'caption') AND EXISTS (
                          SELECT 1 FROM files f JOIN roots r ON r.id = f.root
                           WHERE f.content = c.id AND f.state = 'present' AND r.state = 'present')"""
        return [row[0] for row in self.db.conn.execute(query, (VERSION,))]

    def place(self, content: int) -> tuple[bytes, str, bytes] | None:
        """Return a content's digest, its reader and a file that has it; None where none is there now."""
        query = """SELECT c.hash, c.reader, CAST(r.path || x'2f' || f.path AS BLOB)
                     FROM contents c JOIN files f ON f.content = c.id JOIN roots r ON r.id = f.root
                    WHERE c.id = ? AND f.state = 'present' AND r.state = 'present' LIMIT 1"""
        row = self.db.conn.execute(query, (content,)).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def untiled(self) -> list[tuple[int, bytes, bytes]]:
        """Return the pictures in one piece that were asked for no tiles yet: id, SHA-256 and place."""
        query = """SELECT c.id, c.hash, CAST(r.path || x'2f' || f.path AS BLOB)
                     FROM contents c JOIN files f ON f.content = c.id JOIN roots r ON r.id = f.root
                    WHERE c.reader = 'picture' AND c.tiles IS NULL AND c.segments IS NOT NULL
                      AND f.state = 'present' AND r.state = 'present'
                      AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.content = c.id AND s.kind = 'image'
                                         AND coalesce(s.box, s.page, s.start) IS NOT NULL)
                    GROUP BY c.id ORDER BY c.id"""
        return [tuple(row) for row in self.db.conn.execute(query)]

    def rewrite(self, batch: Sequence[tuple[int, Details]]) -> None:
        """Commit what contents say, as it was read again, and the times of their files."""
        files = "SELECT root, coalesce(picture, path) FROM files WHERE content = ?"
        with self.db.atomic():
            for content, details in batch:
                self._write(content, details)
                for root, picture in self.db.conn.execute(files, (content,)).fetchall():
                    self.settle_time(root, picture)

    def settle_time(self, root: int, picture: bytes) -> None:
        """Give a picture and its captions the time when it was taken, as it says itself, else its sidecar."""
        self.db.conn.execute(
            """WITH own (id) AS (SELECT id FROM files WHERE root = ?1 AND path = ?2
                              UNION SELECT id FROM files WHERE root = ?1 AND picture = ?2)
               UPDATE files SET time = said.taken
                 FROM (SELECT c.taken FROM files f JOIN contents c ON c.id = f.content
                        WHERE f.id IN own AND f.state != 'gone' AND c.taken IS NOT NULL
                        ORDER BY f.picture IS NOT NULL, f.path LIMIT 1) said
                WHERE id IN own AND time != said.taken""",
            (root, picture),
        )

    def _write(self, content: int, details: Details) -> None:
        columns = asdict(details)
        keywords = columns.pop("keywords")
        names = ", ".join(f"{name} = ?" for name in columns)
        execute = self.db.conn.execute
        execute(
            f"UPDATE contents SET {names}, details = ? WHERE id = ?", (*columns.values(), VERSION, content)
        )
        execute("DELETE FROM keywords WHERE content = ?", (content,))
        for name in keywords:
            execute("INSERT OR IGNORE INTO keywords VALUES (?, ?)", (content, name))
