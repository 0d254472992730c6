"""Write which images the captions of caption tables describe."""

import posixpath
from collections.abc import Iterator
from unicodedata import normalize

from indexer.sqlite_tools import sqlite_utils


class Captions:
    """Writer of the table `captions`."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self.db = db
        self.new_tables = set[int]()  # files that were read since this was opened

    def save_links(self, file: int, path: bytes, content: int | None) -> None:
        """Write the images that a file's captions name, relative to its folder, within a transaction."""
        execute = self.db.conn.execute
        self.delete_links(file)
        query = "SELECT id, caption_target FROM segments WHERE content = ? AND caption_target IS NOT NULL"
        named = execute(query, (content,)).fetchall()
        if named:
            self.new_tables.add(file)
            rows = ((file, id_, resolve_image_path(path, name)) for id_, name in named)
            self.db.conn.executemany("INSERT INTO captions (file, segment, image) VALUES (?, ?, ?)", rows)

    def delete_links(self, file: int) -> None:
        """Delete the links of a file, within a transaction."""
        self.db.conn.execute("DELETE FROM captions WHERE file = ?", (file,))

    def match_names(self) -> None:
        """Link captions to images whose paths are equal only in NFC or NFD, in one transaction."""
        # Only names that are not ASCII have more bytes than characters.
        query = """SELECT c.segment, c.file, c.image, t.root FROM captions c JOIN files t ON t.id = c.file
                    WHERE length(CAST(c.image AS TEXT)) < length(c.image) AND NOT EXISTS (
                        SELECT 1 FROM files p
                         WHERE p.root = t.root AND p.path = c.image AND p.state != 'gone')"""
        link = """UPDATE captions SET image = ?1 WHERE segment = ?2 AND file = ?3 AND EXISTS (
                      SELECT 1 FROM files p WHERE p.root = ?4 AND p.path = ?1 AND p.state != 'gone')"""
        with self.db.atomic():
            for segment, file, image, root in self.db.conn.execute(query).fetchall():
                name = image.decode("utf-8", "surrogateescape")
                for form in ("NFC", "NFD"):
                    path = normalize(form, name).encode("utf-8", "surrogateescape")
                    self.db.conn.execute(link, (path, segment, file, root))

    def missing_images(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield (path, missing images, named images) of each new caption table that names missing images."""
        query = """SELECT t.path, count(DISTINCT c.image) FILTER (WHERE p.id IS NULL) AS missing,
                          count(DISTINCT c.image)
                     FROM captions c JOIN files t ON t.id = c.file
                     LEFT JOIN files p ON p.root = t.root AND p.path = c.image AND p.state != 'gone'
                    WHERE c.file = ?"""
        for file in sorted(self.new_tables):
            path, missing, named = self.db.conn.execute(query, (file,)).fetchone()
            if missing:
                yield path, missing, named


def resolve_image_path(table: bytes, name: bytes) -> bytes:
    """Return the path under the root that a name refers to; one that leads out of it matches no file."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(table), name))
