"""What a run finds in the archives of a place, and where that is written."""

import hashlib
import os
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import sqlite_utils

from indexer.decode.registry import CAPTION_SUFFIXES, DECODER_BY_SUFFIX, describes_other_files
from indexer.scan.diff import UNCHANGED_ARCHIVE, Changes
from indexer.scan.rules import ScanOptions, inclusion_filter
from indexer.scan.sidecars import assign_archive_decoders
from indexer.scan.targets import ScanTarget, path_range
from indexer.scan.walker import Archive
from indexer.types import FileEntry, mtime_nanoseconds
from retrieval.formatting import pluralize
from retrieval.media.archives.archive import is_archive, list_archive
from retrieval.media.archives.tar import Member

SCAN_VERSION = 1  # a larger one makes the next run open every archive again
NANOSECONDS_PER_SECOND = 10**9  # nanoseconds
MAX_TIMESTAMP_SECONDS = 2**63 // NANOSECONDS_PER_SECOND  # that SQLite can hold
_INDEXED_SUFFIXES = frozenset(suffix.encode() for suffix in (*DECODER_BY_SUFFIX, *CAPTION_SUFFIXES))


class OpenedArchive(NamedTuple):
    """An archive that was opened, how many files were found in it, and what is wrong with it."""

    archive: Archive
    file_count: int
    error: str | None


class ArchiveScan:
    """The archives of a place: those that are as they were, and those that were opened now.

    An archive is noted when all that it holds is written, so that a run that is cut short opens it again.
    A place that is not deep has none.
    """

    def __init__(self, db: sqlite_utils.Database, target: ScanTarget, retry: bool) -> None:
        """Read what is known; with `retry`, an archive of which something could not be read is not."""
        self.db, self.target, self.options_hash = db, target, _options_hash(target.options)
        rows = db.execute(
            """SELECT path, size, mtime, options_hash, read, failed, error IS NOT NULL FROM archives
                WHERE root = ? AND path >= ? AND path < ?""",
            (target.root_id, *path_range(target.subpath)),
        )
        known = {row[0]: row[1:] for row in rows} if target.recursive else {}
        self._known_paths = list(known)
        self._reusable = {path: row for path, row in known.items() if not (retry and any(row[-2:]))}
        self._unchanged = set[bytes]()
        self._opened = list[OpenedArchive]()

    def entries(self, archive: Archive) -> Iterator[FileEntry]:
        """Yield the files of an archive by path; of one that is as it was only that. Raises OSError."""
        known = self._reusable.get(archive.path)
        if known is not None and known[:3] == (archive.size, archive.mtime, self.options_hash):
            self._unchanged.add(archive.path)
            yield FileEntry(archive.path + b"/", archive.size, archive.mtime, UNCHANGED_ARCHIVE)
        else:
            yield from self._scan_archive(archive)

    def _scan_archive(self, archive: Archive) -> list[FileEntry]:
        passes, prefix = inclusion_filter(self.target.options), archive.path + b"/"
        listing = list_archive(
            os.path.join(self.target.root_path, archive.path),
            lambda name: _is_indexed(name) and passes(prefix + name),
        )
        nested = sum(map(is_archive, listing.members))
        if nested:
            listing.problems.append(f"{pluralize(nested, 'archive')} in it left out: unpack to have it read")
        found = []
        for name, reader, picture in assign_archive_decoders(listing.members):
            if describes_other_files(reader):  # its captions are of pictures on disk
                continue
            member = listing.members[name]
            beside = None if picture is None else prefix + picture
            found.append(
                FileEntry(prefix + name, member.size, _member_mtime(member, archive), reader, beside)
            )
        self._opened.append(OpenedArchive(archive, len(found), "; ".join(listing.problems) or None))
        return sorted(found)

    def add_unchanged(self, changes: Changes) -> None:
        """Add what is known of the archives that are as they were, and forget that of all others."""
        for path in self._unchanged:
            *_, read, failed, wrong = self._reusable[path]
            changes.known_count += read + failed
            changes.unchanged += read
            changes.failed += failed + wrong
        changes.failed += sum(each.error is not None for each in self._opened)
        with self.db.atomic():
            for path in self._known_paths:
                if path not in self._unchanged:
                    self.db.execute(
                        "DELETE FROM archives WHERE root = ? AND path = ?", (self.target.root_id, path)
                    )

    def save(self) -> None:
        """Note the archives that were read, unless one has changed since or is to be tried again."""
        with self.db.atomic():
            for archive, files, error in self._opened:
                read, failed, waiting = self.db.execute(
                    """SELECT count(*) FILTER (WHERE error IS NULL), count(error),
                              count(*) FILTER (WHERE retry)
                         FROM files WHERE root = ? AND path >= ? AND path < ? AND state = 'present'""",
                    (self.target.root_id, *path_range(archive.path)),
                ).fetchone()
                whole = read + failed == files and not waiting
                if whole and _is_unchanged(os.path.join(self.target.root_path, archive.path), archive):
                    self.db.execute(
                        "INSERT OR REPLACE INTO archives VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (self.target.root_id, *archive, self.options_hash, read, failed, error),
                    )


def _options_hash(options: ScanOptions) -> str:
    """Return a checksum of what is looked for in archives."""
    said = (
        SCAN_VERSION,
        sorted(DECODER_BY_SUFFIX.items()),
        sorted(CAPTION_SUFFIXES),
        [*options.exclude],
        options.hidden,
    )
    return hashlib.sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _is_indexed(name: bytes) -> bool:
    """Say whether a file in an archive may be read, or is an archive."""
    return os.path.splitext(name)[1].lower() in _INDEXED_SUFFIXES or is_archive(name)


def _member_mtime(member: Member, archive: Archive) -> int:
    """Return when a member was written, in nanoseconds; where that is not known, when the archive was.

    The part below a second is a checksum: of a zip's member its own, else of the archive's time and size, so
    that a tar that has changed is read anew. No size and time tell what is in it.
    """
    seconds = (
        int(member.mtime)
        if 0 < member.mtime < MAX_TIMESTAMP_SECONDS
        else archive.mtime // NANOSECONDS_PER_SECOND
    )
    mark = zlib.crc32(b"%d %d" % archive[1:]) if member.zip_info is None else member.zip_info.CRC
    return seconds * NANOSECONDS_PER_SECOND + mark % NANOSECONDS_PER_SECOND


def _is_unchanged(path: bytes, archive: Archive) -> bool:
    """Say whether an archive is what it was when it was opened."""
    try:
        now = os.stat(path)
    except OSError:
        return False
    return (now.st_size, mtime_nanoseconds(now)) == archive[1:]
