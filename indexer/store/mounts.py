"""Remember the mount points in roots, and find those whose drive is disconnected."""

import os
from collections.abc import Iterator, Sequence

from indexer.scan.diff import CatalogFile, path_and_parents
from indexer.scan.mounts import Mount, is_mount, mount_points
from indexer.scan.targets import ScanTarget, path_range
from indexer.sqlite_tools import sqlite_utils
from retrieval.media.archives.archive import split_archive_path


class Mounts:
    """The table `mounts`, for writing."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self.db = db

    def disconnected(
        self, target: ScanTarget, found: Sequence[Mount], missing: Sequence[CatalogFile]
    ) -> list[bytes]:
        """Return the mounts in or above a target that are disconnected; remember the mounts that were found.

        A mount is disconnected if it is mounted no longer and none of its known files exists; if one does, it
        is a folder now. A link that was removed is not a mount either.
        """
        root = target.root_id
        missing_in = {path for old in missing for path in path_and_parents(old.path)}
        points, disconnected, ended = mount_points(), list[bytes](), list[bytes]()
        query = "SELECT path, is_link FROM mounts WHERE root = ?"
        for path, is_link in self.db.execute(query, (root,)).fetchall():
            full_path = os.path.join(target.root_path, path) if path else target.root_path
            if path not in missing_in or is_mount(full_path, points):
                continue
            if (is_link and not os.path.lexists(full_path)) or any(self._files_on_disk(target, path)):
                ended.append(path)
            else:
                disconnected.append(path)
        with self.db.atomic():
            self.db.conn.executemany(
                "INSERT OR REPLACE INTO mounts VALUES (?, ?, ?)", ((root, *m) for m in found)
            )
            self.db.conn.executemany(
                "DELETE FROM mounts WHERE root = ? AND path = ?", ((root, p) for p in ended)
            )
        return disconnected

    def _files_on_disk(self, target: ScanTarget, folder: bytes) -> Iterator[bool]:
        """Yield for each known file in a folder whether it exists."""
        query = "SELECT path FROM files WHERE root = ? AND path >= ? AND path < ? AND state != 'gone'"
        for (path,) in self.db.execute(query, (target.root_id, *path_range(folder))):
            full_path = os.path.join(target.root_path, path)
            yield os.path.lexists(full_path) or split_archive_path(full_path) is not None
