"""List the files of an archive that have a decoder."""

import os
import zlib
from collections import Counter
from dataclasses import dataclass, field

from indexer.decode.registry import CAPTION_SUFFIXES, DECODER_BY_SUFFIX, describes_other_files
from indexer.decode.text.records import TABLE_SUFFIXES
from indexer.scan.rules import ScanOptions, inclusion_filter
from indexer.scan.sidecars import assign_archive_decoders
from indexer.scan.walker import Archive
from indexer.types import FileEntry
from retrieval.formatting import pluralize
from retrieval.media.archives.archive import is_archive, list_archive
from retrieval.media.archives.member import Member
from retrieval.media.limits import DecodeLimits

NANOSECONDS_PER_SECOND = 10**9
MAX_TIMESTAMP_SECONDS = 2**63 // NANOSECONDS_PER_SECOND  # the largest that SQLite can store as nanoseconds
_INDEXED_SUFFIXES = frozenset(suffix.encode() for suffix in (*DECODER_BY_SUFFIX, *CAPTION_SUFFIXES))


@dataclass(slots=True)
class ArchiveFiles:
    """The files of an archive, in the order of their paths, and what could not be read."""

    entries: list[FileEntry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    damaged: list[bytes] = field(default_factory=list)  # paths of members, or of an incomplete archive
    skipped: Counter[str] = field(default_factory=Counter)  # suffix without a decoder -> files


def list_archive_files(
    file: bytes, archive: Archive, options: ScanOptions, limits: DecodeLimits, used_patterns: set[str]
) -> ArchiveFiles:
    """Return the files of an archive; `file` is where it can be read. Raises OSError.

    The patterns of `options` that match are added to `used_patterns`.
    """
    found, prefix = ArchiveFiles(), archive.path + b"/"
    is_included = inclusion_filter(options, used_patterns)
    listing = list_archive(file, lambda name: _is_indexed(name) and is_included(prefix + name), limits)
    found.damaged += [archive.path] * listing.is_incomplete
    found.damaged += [prefix + name for name in listing.unreadable]
    nested = sum(map(is_archive, listing.members))
    found.problems = listing.problems
    if nested:
        found.problems.append(f"{pluralize(nested, 'archive')} inside not indexed: unpack to index it")
    for name, decoder, sidecar_of in assign_archive_decoders(listing.members):
        if describes_other_files(decoder):  # its images are not looked up: its rows are texts
            suffix = os.path.splitext(name)[1].lower().decode("ascii", "replace")
            if suffix not in TABLE_SUFFIXES:
                found.skipped[suffix] += 1
                continue
            decoder = "text"
        member = listing.members[name]
        found.entries.append(
            FileEntry(
                prefix + name,
                member.size,
                _member_mtime(member, archive),
                decoder,
                None if sidecar_of is None else prefix + sidecar_of,
                archive.ctime if member.zip_info is None else None,  # the checksums of a tar are unknown
            )
        )
    found.entries.sort()
    return found


def _is_indexed(name: bytes) -> bool:
    """Return True if a file in an archive may have a decoder, or is an archive."""
    return os.path.splitext(name)[1].lower() in _INDEXED_SUFFIXES or is_archive(name)


def _member_mtime(member: Member, archive: Archive) -> int:
    """Return the modification time of a member in nanoseconds; if unknown, that of the archive.

    The part below a second is a checksum: the CRC of a member of a zip; for a tar, the CRC of the size and
    time of the archive, so that all members of a changed tar are read again. Archives store times in seconds,
    and a member can change without changing its size and time.
    """
    seconds = (
        int(member.mtime)
        if 0 < member.mtime < MAX_TIMESTAMP_SECONDS
        else archive.mtime // NANOSECONDS_PER_SECOND
    )
    checksum = zlib.crc32(b"%d %d" % archive[1:3]) if member.zip_info is None else member.zip_info.CRC
    return seconds * NANOSECONDS_PER_SECOND + checksum % NANOSECONDS_PER_SECOND
