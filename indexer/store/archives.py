"""Archives of a scan target: which are unchanged, and the files of the others."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from indexer.decode.registry import CAPTION_SUFFIXES, DECODER_BY_SUFFIX
from indexer.scan.archive_files import list_archive_files
from indexer.scan.diff import CatalogFile, Reread, UnchangedArchive
from indexer.scan.rules import ScanOptions
from indexer.scan.targets import ScanTarget, path_range
from indexer.scan.walker import Archive, ScanIssues, walk_runs
from indexer.sqlite_tools import sqlite_utils
from indexer.types import FileEntry, file_times
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

SCAN_VERSION = 2  # increase it to open every archive again


@dataclass(frozen=True, slots=True)
class OpenedArchive:
    """An archive that this scan opened."""

    archive: Archive
    file_count: int
    error: str | None  # what could not be read


class ArchiveScan:
    """The archives of one scan target: unchanged ones are skipped, all others are opened.

    Call `walk` first, and `finish` when all files are written. An archive is stored only then, so that an
    interrupted run opens it again.
    """

    def __init__(
        self,
        db: sqlite_utils.Database,
        target: ScanTarget,
        reread: Reread,
        limits: DecodeLimits = DEFAULT_LIMITS,
        is_complete: Callable[[Archive], bool] = lambda archive: True,
    ) -> None:
        """Read the known archives. `reread` opens all, or those again that could not be read completely.

        Archives that are not `is_complete`, because they are being written, count as unchanged.
        """
        self.db, self.target, self.options_hash = db, target, _options_hash(target.options)
        self._limits, self._is_complete = limits, is_complete
        self._issues = ScanIssues()
        rows = db.execute(
            """SELECT path, size, mtime, ctime, options_hash, read, failed, error IS NOT NULL FROM archives
                WHERE root = ? AND path >= ? AND path < ?""",
            (target.root_id, *path_range(target.subpath)),
        )
        self._known = {row[0]: row[1:] for row in rows} if target.recursive else {}
        self._reread = reread
        self._unchanged = set[bytes]()
        self._opened = list[OpenedArchive]()
        self._new_ctimes = list[tuple[int, int, bytes]]()

    @property
    def error_count(self) -> int:
        """Return how many of the opened archives could not be read completely."""
        return sum(opened.error is not None for opened in self._opened)

    def walk(self, issues: ScanIssues) -> Iterator[Sequence[FileEntry | UnchangedArchive]]:
        """Yield runs of files (`walk_runs`); at the end, delete the rows of missing and of opened archives.

        A target that is not recursive includes no archives. A target that was deleted has no files.
        """
        self._issues = issues
        if os.path.isdir(self.target.folder):
            yield from walk_runs(self.target, issues, self._list if self.target.recursive else None)
        changed = [(self.target.root_id, path) for path in self._known if path not in self._unchanged]
        if changed or self._new_ctimes:
            with self.db.atomic():
                self.db.conn.executemany("DELETE FROM archives WHERE root = ? AND path = ?", changed)
                self.db.conn.executemany(
                    "UPDATE archives SET ctime = ? WHERE root = ? AND path = ?", self._new_ctimes
                )

    def _list(self, archive: Archive) -> list[FileEntry | UnchangedArchive]:
        """Return the files of an archive by path. Raises OSError."""
        size, mtime, ctime, options_hash, read_count, failed_count, has_error = self._known.get(
            archive.path, (None, None, None, None, 0, 0, False)
        )
        same = (size, mtime, options_hash) == (archive.size, archive.mtime, self.options_hash)
        same = same and ctime in (None, archive.ctime)
        reread = self._reread == "all" or (
            self._reread == "failed" and (failed_count or has_error or self._has_partial_files(archive))
        )
        if (same and not reread) or not self._is_complete(archive):
            self._unchanged.add(archive.path)
            if same and ctime is None:
                self._new_ctimes.append((archive.ctime, self.target.root_id, archive.path))
            return [UnchangedArchive(archive.path + b"/", read_count, failed_count, has_error)]
        return [*self._open(archive)]

    def _has_partial_files(self, archive: Archive) -> bool:
        """Return True if a file in an archive was read in part."""
        query = """SELECT 1 FROM files WHERE root = ? AND path >= ? AND path < ?
                      AND content IN (SELECT id FROM contents WHERE note IS NOT NULL) LIMIT 1"""
        values = (self.target.root_id, *path_range(archive.path))
        return self.db.execute(query, values).fetchone() is not None

    def _open(self, archive: Archive) -> list[FileEntry]:
        target, issues = self.target, self._issues
        path = os.path.join(target.root_path, archive.path)
        found = list_archive_files(path, archive, target.options, self._limits, issues.used_patterns)
        issues.damaged += found.damaged
        issues.skipped += found.skipped
        self._opened.append(OpenedArchive(archive, len(found.entries), "; ".join(found.problems) or None))
        return found.entries

    def finish(self, unreadable: Sequence[CatalogFile]) -> None:
        """Store the opened archives whose files are all written, unless they have changed since.

        `unreadable` are known files that could not be checked, and are kept.
        """
        with self.db.atomic():
            for opened in self._opened:
                archive = opened.archive
                read, failed, waiting = self.db.execute(
                    """SELECT count(*) FILTER (WHERE state = 'present' AND error IS NULL),
                              count(error) FILTER (WHERE state = 'present'),
                              count(*) FILTER (WHERE retry OR state = 'offline')
                         FROM files WHERE root = ? AND path >= ? AND path < ? AND state != 'gone'""",
                    (self.target.root_id, *path_range(archive.path)),
                ).fetchone()
                kept = sum(
                    old.state == "present" and old.path.startswith(archive.path + b"/") for old in unreadable
                )
                is_complete = read + failed == opened.file_count + kept and not waiting
                if is_complete and _is_unchanged(os.path.join(self.target.root_path, archive.path), archive):
                    self.db.execute(
                        """INSERT OR REPLACE INTO archives
                                  (root, path, size, mtime, ctime, options_hash, read, failed, error)
                           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                        (self.target.root_id, *archive, self.options_hash, read, failed, opened.error),
                    )


def _options_hash(options: ScanOptions) -> str:
    """Return a checksum of the rules that select files in archives."""
    rules = (
        SCAN_VERSION,
        sorted(DECODER_BY_SUFFIX.items()),
        sorted(CAPTION_SUFFIXES),
        [*options.exclude],
        options.hidden,
    )
    return hashlib.sha256(repr(rules).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _is_unchanged(path: bytes, archive: Archive) -> bool:
    """Return True if an archive still has the size and time that it had when it was opened."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_size, *file_times(status)) == archive[1:]
