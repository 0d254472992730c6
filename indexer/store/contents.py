"""Where contents, and what they say of themselves, are written."""

from collections.abc import Sequence
from dataclasses import asdict

import sqlite_utils

from indexer.decode.metadata.properties import METADATA_VERSION
from retrieval.types import MediaProperties

OUTDATED = """SELECT content FROM analyses WHERE analysis = 'metadata' AND version < ?1
              UNION ALL SELECT content FROM analyses WHERE analysis = 'metadata' AND version > ?1"""
METADATA_DECODERS = ("picture", "caption")  # decoders whose metadata is read again when its version changes


class Contents:
    """The tables `contents` and `keywords`, for writing."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self.db = db

    def insert(self, digest: bytes, decoder: str, details: MediaProperties) -> int:
        """Insert a content whose segments are to follow, within a transaction; returns its id."""
        query = "INSERT INTO contents (hash, reader) VALUES (?, ?) RETURNING id"
        (row,) = self.db.conn.execute(query, (digest, decoder)).fetchall()
        self._write_properties(int(row[0]), details)
        if decoder in METADATA_DECODERS:
            self._mark_metadata_current(int(row[0]))
        return int(row[0])

    def outdated_metadata(self) -> list[int]:
        """Return the contents that older readers have read, and that are there to be read again."""
        query = f"""SELECT content FROM ({OUTDATED}) a
                    WHERE EXISTS (SELECT 1 FROM present_files f WHERE f.content = a.content)
                    ORDER BY content"""
        return [row[0] for row in self.db.conn.execute(query, (str(METADATA_VERSION),))]

    def locate(self, content: int) -> tuple[bytes, str, bytes] | None:
        """Return a content's digest, its reader and a file that has it; None where none is there now."""
        query = """SELECT c.hash, c.reader, f.path FROM contents c JOIN present_files f ON f.content = c.id
                    WHERE c.id = ? LIMIT 1"""
        row = self.db.conn.execute(query, (content,)).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def untiled_images(self) -> list[tuple[int, bytes, bytes]]:
        """Return the pictures in one piece that were asked for no tiles yet: id, SHA-256 and place."""
        query = """SELECT c.id, c.hash, f.path FROM contents c JOIN present_files f ON f.content = c.id
                    WHERE c.reader = 'picture' AND c.segments IS NOT NULL
                      AND NOT EXISTS (SELECT 1 FROM analyses a
                                       WHERE a.content = c.id AND a.analysis = 'tiles')
                      AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.content = c.id AND s.kind = 'image'
                                         AND coalesce(s.box, s.page, s.start) IS NOT NULL)
                    GROUP BY c.id ORDER BY c.id"""
        return [tuple(row) for row in self.db.conn.execute(query)]

    def update_metadata(self, batch: Sequence[tuple[int, MediaProperties]]) -> None:
        """Commit what contents say, as it was read again, and the times of their files."""
        files = "SELECT root, coalesce(picture, path) FROM files WHERE content = ?"
        with self.db.atomic():
            for content, details in batch:
                self._write_properties(content, details)
                self._mark_metadata_current(content)
                for root, picture in self.db.conn.execute(files, (content,)).fetchall():
                    self.update_capture_time(root, picture)

    def update_capture_time(self, root: int, image_path: bytes) -> None:
        """Give a picture and its captions the time when it was taken, as it says itself, else its sidecar."""
        self.db.conn.execute(
            """WITH own (id) AS (SELECT id FROM files WHERE root = ?1 AND path = ?2
                              UNION SELECT id FROM files WHERE root = ?1 AND picture = ?2)
               UPDATE files SET time = said.taken
                 FROM (SELECT c.taken FROM files f JOIN contents c ON c.id = f.content
                        WHERE f.id IN own AND f.state != 'gone' AND c.taken IS NOT NULL
                        ORDER BY f.picture IS NOT NULL, f.path LIMIT 1) said
                WHERE id IN own AND time != said.taken""",
            (root, image_path),
        )

    def _mark_metadata_current(self, content: int) -> None:
        query = "INSERT OR REPLACE INTO analyses VALUES (?, 'metadata', ?, NULL)"
        self.db.conn.execute(query, (content, str(METADATA_VERSION)))

    def _write_properties(self, content: int, details: MediaProperties) -> None:
        columns = asdict(details)
        keywords = columns.pop("keywords")
        names = ", ".join(f"{name} = ?" for name in columns)
        execute = self.db.conn.execute
        execute(f"UPDATE contents SET {names} WHERE id = ?", (*columns.values(), content))
        execute("DELETE FROM keywords WHERE content = ?", (content,))
        for name in keywords:
            execute("INSERT OR IGNORE INTO keywords VALUES (?, ?)", (content, name))
