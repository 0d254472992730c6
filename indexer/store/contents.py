"""Write contents and their metadata."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from indexer.decode.registry import file_decoder
from indexer.decode.versions import METADATA_VERSION, TEXT_VERSION, VIDEO_VERSION
from indexer.sqlite_tools import sqlite_utils
from indexer.store.analyses import set_progress
from retrieval.catalog.schema import vectors_table
from retrieval.types import MediaProperties, Vectors

if TYPE_CHECKING:
    from indexer.decode.base import DecodedFile

MAX_DIFFERENCE = 0.002  # of the elements of a vector that is stored in 16 bits
# Whose contents are decoded again when the version changes.
METADATA_DECODERS = ("picture", "caption")
TEXT_DECODERS = ("text", "web", "office", "message", "subtitles", "sound")


class Contents:
    """Writer of the tables `contents` and `keywords`."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self.db = db

    def insert(self, digest: bytes, decoder: str, details: MediaProperties) -> int:
        """Insert a content before its segments, within a transaction, and return its id."""
        query = "INSERT INTO contents (hash, decoder) VALUES (?, ?) RETURNING id"
        (row,) = self.db.conn.execute(query, (digest, decoder)).fetchall()
        self.write_properties(int(row[0]), details)
        name = file_decoder(decoder)
        if name in METADATA_DECODERS:
            set_progress(self.db.conn, int(row[0]), "metadata", str(METADATA_VERSION))
        if name in TEXT_DECODERS:
            set_progress(self.db.conn, int(row[0]), "text", TEXT_VERSION)
        if name == "video":
            set_progress(self.db.conn, int(row[0]), "scenes", VIDEO_VERSION)
        return int(row[0])

    def exists(self, content: int) -> bool:
        """Return True unless a content was purged."""
        return self.db.execute("SELECT 1 FROM contents WHERE id = ?", (content,)).fetchone() is not None

    def is_same(self, content: int, decoded: "DecodedFile", space_id: int, first_vectors: Vectors) -> bool:
        """Return True if what is stored of a content is a decoded file: note, segments and first vectors."""
        if not has_same_segments(self.db.conn, content, decoded):
            return False
        execute = self.db.conn.execute
        query = f"""SELECT vector FROM segments s LEFT JOIN {vectors_table(space_id)} v ON v.segment = s.id
                     WHERE content = ? AND origin = 'file' ORDER BY ordinal"""
        return all(
            vector is not None and np.allclose(np.frombuffer(vector, np.float16), new, atol=MAX_DIFFERENCE)
            for draft, (vector,), new in zip(
                decoded.drafts, execute(query, (content,)), first_vectors, strict=False
            )
            if draft.has_vector
        )

    def write_notes(self, content: int, decoded: "DecodedFile") -> None:
        """Write the note and the assumption of a content, within a transaction."""
        query = "UPDATE contents SET note = ?, assumption = ? WHERE id = ?"
        self.db.conn.execute(query, (decoded.note, decoded.assumption, content))

    def update_metadata(self, batch: Sequence[tuple[int, MediaProperties]]) -> None:
        """Commit the metadata of contents that were decoded again, and the times of their files.

        Contents that were purged meanwhile are left out.
        """
        with self.db.atomic():
            for content, details in batch:
                if not self.exists(content):
                    continue
                self.write_properties(content, details)
                set_progress(self.db.conn, content, "metadata", str(METADATA_VERSION))
                self._update_file_times(content)

    def correct_video(self, content: int, shift: float, details: MediaProperties) -> None:
        """Add seconds to the times of a video, and write its capture time, within a transaction."""
        execute = self.db.conn.execute
        execute(
            """UPDATE segments SET start = round(start + ?2, 6), "end" = round("end" + ?2, 6)
                WHERE content = ?1 AND origin IN ('file', 'ocr')""",
            (content, shift),
        )
        execute(
            """UPDATE contents SET duration = round(duration + ?2, 3), taken = ?3, zone = ?4 WHERE id = ?1""",
            (content, shift, details.taken, details.zone),
        )
        self._update_file_times(content)

    def _update_file_times(self, content: int) -> None:
        query = "SELECT root, coalesce(sidecar_of, path) FROM files WHERE content = ?"
        for root, image_path in self.db.conn.execute(query, (content,)).fetchall():
            update_capture_time(self.db.conn, root, image_path)

    def write_time(self, content: int, taken: str, zone: str | None) -> None:
        """Write the capture time of a content, within a transaction."""
        query = "UPDATE contents SET taken = ?2, zone = ?3 WHERE id = ?1 AND (taken, zone) IS NOT (?2, ?3)"
        if self.db.execute(query, (content, taken, zone)).rowcount:
            self._update_file_times(content)

    def write_properties(self, content: int, details: MediaProperties) -> None:
        """Write the metadata of a content, within a transaction."""
        columns = asdict(details)
        keywords = columns.pop("keywords")
        names = ", ".join(f"{name} = ?" for name in columns)
        execute = self.db.conn.execute
        execute(f"UPDATE contents SET {names} WHERE id = ?", (*columns.values(), content))
        execute("DELETE FROM keywords WHERE content = ?", (content,))
        for name in keywords:
            execute("INSERT OR IGNORE INTO keywords VALUES (?, ?)", (content, name))


def has_same_segments(db: sqlite3.Connection, content: int, decoded: "DecodedFile") -> bool:
    """Return True if the note and the segments that are stored of a content are those of a decoded file."""
    query = """SELECT kind, text, start, "end", page, box, caption_target FROM segments
                WHERE content = ? AND origin = 'file' ORDER BY ordinal"""
    drafts = [
        (d.kind, d.text, d.start, d.end, d.page, d.box and json.dumps(d.box), d.caption_target)
        for d in decoded.drafts
    ]
    row = db.execute("SELECT note FROM contents WHERE id = ?", (content,)).fetchone()
    return (
        row is not None
        and row[0] == decoded.note
        and [tuple(segment) for segment in db.execute(query, (content,))] == drafts
    )


def update_capture_time(db: sqlite3.Connection, root: int, image_path: bytes) -> None:
    """Set the time of an image and its captions, within a transaction.

    It is the capture time in the image, else in a sidecar, else when each of the files was last written.
    """
    db.execute(
        """WITH own (id) AS (SELECT id FROM files WHERE root = ?1 AND path = ?2
                          UNION SELECT id FROM files WHERE root = ?1 AND sidecar_of = ?2),
                capture (taken) AS (SELECT c.taken FROM files f JOIN contents c ON c.id = f.content
                                     WHERE f.id IN own AND f.state != 'gone' AND c.taken IS NOT NULL
                                     ORDER BY f.sidecar_of IS NOT NULL, f.path LIMIT 1)
           UPDATE files SET time = coalesce(
                      (SELECT taken FROM capture),
                      strftime('%Y-%m-%dT%H:%M:%S', mtime / 1000000000 - (mtime % 1000000000 < 0),
                               'unixepoch', 'localtime'),
                      time)
            WHERE id IN own""",
        (root, image_path),
    )
