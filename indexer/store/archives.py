"""What a run finds in the archives of a place, and where that is written."""

import hashlib
import os
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import sqlite_utils

from indexer.decode.registry import CAPTION_SUFFIXES, READERS
from indexer.scan.diff import AS_IT_WAS, Changes
from indexer.scan.rules import Options, passing
from indexer.scan.sidecars import readers_inside
from indexer.scan.targets import Place, span
from indexer.scan.walker import Archive
from indexer.types import Found, nanoseconds
from retrieval.formatting import some
from retrieval.media.archives.archive import is_archive, list_archive
from retrieval.media.archives.tar import Member

VERSION = 1  # a larger one makes the next run open every archive again
SECOND = 10**9  # nanoseconds
LATEST = 2**63 // SECOND  # that SQLite can hold
_SUFFIXES = frozenset(suffix.encode() for suffix in (*READERS, *CAPTION_SUFFIXES))


class Opened(NamedTuple):
    """An archive that was opened, how many files were found in it, and what is wrong with it."""

    archive: Archive
    files: int
    error: str | None


class Archives:
    """The archives of a place: those that are as they were, and those that were opened now.

    An archive is noted when all that it holds is written, so that a run that is cut short opens it again.
    A place that is not deep has none.
    """

    def __init__(self, db: sqlite_utils.Database, place: Place, retry: bool) -> None:
        """Read what is known; with `retry`, an archive of which something could not be read is not."""
        self.db, self.place, self.how = db, place, _how(place.options)
        rows = db.execute(
            """SELECT path, size, mtime, options_hash, read, failed, error IS NOT NULL FROM archives
                WHERE root = ? AND path >= ? AND path < ?""",
            (place.root, *span(place.below)),
        )
        known = {row[0]: row[1:] for row in rows} if place.deep else {}
        self._every = list(known)
        self._known = {path: row for path, row in known.items() if not (retry and any(row[-2:]))}
        self._same = set[bytes]()
        self._opened = list[Opened]()

    def inside(self, archive: Archive) -> Iterator[Found]:
        """Yield the files of an archive by path; of one that is as it was only that. Raises OSError."""
        known = self._known.get(archive.path)
        if known is not None and known[:3] == (archive.size, archive.mtime, self.how):
            self._same.add(archive.path)
            yield Found(archive.path + b"/", archive.size, archive.mtime, AS_IT_WAS)
        else:
            yield from self._open(archive)

    def _open(self, archive: Archive) -> list[Found]:
        passes, prefix = passing(self.place.options), archive.path + b"/"
        listing = list_archive(
            os.path.join(self.place.top, archive.path),
            lambda name: _is_read(name) and passes(prefix + name),
        )
        nested = sum(map(is_archive, listing.members))
        if nested:
            listing.troubles.append(f"{some(nested, 'archive')} in it left out: unpack to have it read")
        found = []
        for name, reader, picture in readers_inside(listing.members):
            if reader == "table":  # its captions are of pictures on disk
                continue
            member = listing.members[name]
            beside = None if picture is None else prefix + picture
            found.append(Found(prefix + name, member.size, _time(member, archive), reader, beside))
        self._opened.append(Opened(archive, len(found), "; ".join(listing.troubles) or None))
        return sorted(found)

    def count(self, changes: Changes) -> None:
        """Add what is known of the archives that are as they were, and forget that of all others."""
        for path in self._same:
            *_, read, failed, wrong = self._known[path]
            changes.known += read + failed
            changes.unchanged += read
            changes.failed += failed + wrong
        changes.failed += sum(each.error is not None for each in self._opened)
        with self.db.atomic():
            for path in self._every:
                if path not in self._same:
                    self.db.execute(
                        "DELETE FROM archives WHERE root = ? AND path = ?", (self.place.root, path)
                    )

    def settle(self) -> None:
        """Note the archives that were read, unless one has changed since or is to be tried again."""
        with self.db.atomic():
            for archive, files, error in self._opened:
                read, failed, waiting = self.db.execute(
                    """SELECT count(*) FILTER (WHERE error IS NULL), count(error),
                              count(*) FILTER (WHERE retry)
                         FROM files WHERE root = ? AND path >= ? AND path < ? AND state = 'present'""",
                    (self.place.root, *span(archive.path)),
                ).fetchone()
                whole = read + failed == files and not waiting
                if whole and _is_still(os.path.join(self.place.top, archive.path), archive):
                    self.db.execute(
                        "INSERT OR REPLACE INTO archives VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (self.place.root, *archive, self.how, read, failed, error),
                    )


def _how(options: Options) -> str:
    """Return a checksum of what is looked for in archives."""
    said = VERSION, sorted(READERS.items()), sorted(CAPTION_SUFFIXES), [*options.exclude], options.hidden
    return hashlib.sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _is_read(name: bytes) -> bool:
    """Say whether a file in an archive may be read, or is an archive."""
    return os.path.splitext(name)[1].lower() in _SUFFIXES or is_archive(name)


def _time(member: Member, archive: Archive) -> int:
    """Return when a member was written, in nanoseconds; where that is not known, when the archive was.

    The part below a second is a checksum: of a zip's member its own, else of the archive's time and size, so
    that a tar that has changed is read anew. No size and time tell what is in it.
    """
    seconds = int(member.mtime) if 0 < member.mtime < LATEST else archive.mtime // SECOND
    mark = zlib.crc32(b"%d %d" % archive[1:]) if member.zipped is None else member.zipped.CRC
    return seconds * SECOND + mark % SECOND


def _is_still(path: bytes, archive: Archive) -> bool:
    """Say whether an archive is what it was when it was opened."""
    try:
        now = os.stat(path)
    except OSError:
        return False
    return (now.st_size, nanoseconds(now)) == archive[1:]
