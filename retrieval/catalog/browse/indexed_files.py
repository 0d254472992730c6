"""Read the stored size and times of a file."""

import os
from dataclasses import dataclass
from pathlib import Path

from retrieval.catalog.reader import Catalog


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file as it was indexed."""

    root: bytes
    size: int  # bytes
    modified: int  # nanoseconds since 1970
    changed: int | None  # change of content or status, likewise; None if unknown
    linked_folders: tuple[bytes, ...]  # real paths of folders outside of the root that links lead to


def indexed_file(catalog: Catalog, path: Path) -> IndexedFile | None:
    """Return the file at an absolute path, None if the library has none there."""
    absolute = os.fsencode(path)
    for root, folder in catalog.db.execute("SELECT id, path FROM roots ORDER BY id").fetchall():
        prefix = folder.rstrip(b"/") + b"/"
        if not absolute.startswith(prefix):
            continue
        row = catalog.db.execute(
            "SELECT size, mtime, ctime FROM files WHERE root = ? AND path = ? AND state != 'gone'",
            (root, absolute.removeprefix(prefix)),
        ).fetchone()
        if row is not None:
            links = catalog.db.execute("SELECT folder FROM links WHERE root = ?", (root,))
            linked = tuple(each for (each,) in links)
            return IndexedFile(folder, row[0], row[1], row[2], linked)
    return None
