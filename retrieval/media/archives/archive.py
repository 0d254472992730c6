"""List and open files in archives, whose paths are `album.zip/IMG_1.jpg`.

Stored members are read in place; compressed ones are decompressed to memory or to a temporary file.
"""

import io
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from retrieval.errors import MediaError
from retrieval.formatting import pluralize
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.regular_file import open_regular_file

if TYPE_CHECKING:
    from zipfile import ZipFile

    from retrieval.media.archives.member import Member
    from retrieval.media.archives.tar import TarStream

ARCHIVE_SUFFIXES = (".zip", ".cbz", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
INVALID_NAME_REASON = "a name that is too long or points outside the archive"
MAX_NAME_BYTES = 1_000  # Linux limits a complete path to 4,096
_SUFFIX_PATTERN = "|".join(map(re.escape, ARCHIVE_SUFFIXES)).encode()
_ARCHIVE_NAME = re.compile(rb"(?:%b)\Z" % _SUFFIX_PATTERN, re.IGNORECASE)
_ARCHIVE_FOLDER = re.compile(rb"(?:%b)/" % _SUFFIX_PATTERN, re.IGNORECASE)
Opener = Callable[[], BinaryIO]


@dataclass(slots=True)
class ArchiveListing:
    """The members of an archive."""

    limits: DecodeLimits  # on reading it and on opening its members
    members: "dict[bytes, Member]" = field(default_factory=dict)  # by name, in the order of the archive
    compressed: bool = False  # a tar that can only be decompressed from its beginning
    zip_file: "ZipFile | None" = None  # open, if the archive is a zip
    problems: list[str] = field(default_factory=list)  # why members are missing
    is_incomplete: bool = False  # it could not be listed to its end
    unreadable: list[bytes] = field(default_factory=list)  # names of members that cannot be opened


def is_archive(name: bytes) -> bool:
    """Return True if a name has the suffix of an archive."""
    return archive_suffix(name) is not None


def archive_suffix(name: bytes) -> str | None:
    """Return the suffix of an archive name in lower case; None for other names."""
    suffix = _ARCHIVE_NAME.search(name)
    return None if suffix is None else suffix[0].decode().lower()


def split_archive_path(path: bytes) -> tuple[bytes, bytes] | None:
    """Return the archive and the member name of a path; None if no part of it is an archive."""
    for match in _ARCHIVE_FOLDER.finditer(path):
        archive = path[: match.end() - 1]
        if os.path.isfile(archive):
            return archive, path[match.end() :]
    return None


def path_exists(path: Path) -> bool:
    """Return True if a path exists, or the archive that it points into."""
    return os.path.exists(path) or split_archive_path(os.fsencode(path)) is not None


def open_path(path: str | Path | bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> BinaryIO:
    """Open a file, which may be in an archive, as a seekable file; raises OSError and MediaError."""
    encoded_path = os.fsencode(path)
    try:
        return open_regular_file(encoded_path)
    except NotADirectoryError:
        location = split_archive_path(encoded_path)
        if location is None:
            raise
    archive, name = location
    listing = list_archive(archive, name.__eq__, limits)
    if name not in listing.members:
        raise FileNotFoundError(2, f"Not in {os.fsdecode(archive)}", os.fsdecode(path))
    return member_openers(archive, listing)[name]()


def is_file(path: Path) -> bool:
    """Return True if a path is a file, or points into an archive that exists."""
    try:
        return path.is_file() or split_archive_path(os.fsencode(path)) is not None
    except (OSError, ValueError):  # too long, with a NUL, in a folder that cannot be read
        return False


def list_archive(
    path: bytes, name_filter: Callable[[bytes], bool], limits: DecodeLimits = DEFAULT_LIMITS
) -> ArchiveListing:
    """Return the files of an archive whose names pass the filter; raises OSError.

    Of several members with the same name, the last is returned. Files that cannot be opened and invalid
    names are skipped and reported as problems.
    """
    listing = ArchiveListing(limits)
    skipped_count, example_name = Counter[str](), dict[str, bytes]()  # by reason
    with open_regular_file(path) as file:
        try:
            for member in _read_members(file, path, listing):
                name = _normalize_name(member.name)
                if name is not None and not name_filter(name):
                    continue
                reason = INVALID_NAME_REASON if name is None else member.unreadable_reason
                if name is None or reason is not None:
                    skipped_count[reason or ""] += 1
                    example_name.setdefault(reason or "", member.name)
                    listing.unreadable += [] if name is None else [name]
                else:
                    listing.members.pop(name, None)
                    listing.members[name] = member
                    if len(listing.members) == limits.max_members:
                        raise MediaError(
                            f"more than the limit of {limits.max_members:,} files; the rest is skipped"
                        )
        except MediaError as error:
            listing.problems.append(str(error))
            listing.is_incomplete = True
        except OSError:
            raise
        except Exception as error:  # a bug in clew must not stop the indexing of other files
            listing.is_incomplete = True
            listing.problems.append(f"unexpected {type(error).__name__}: {error}")
    listing.problems += [
        f"{_format_file_count(count, example_name[reason])} skipped: {reason}"
        for reason, count in skipped_count.items()
    ]
    return listing


def member_openers(path: bytes, listing: ArchiveListing) -> dict[bytes, Opener]:
    """Return a function that opens each member.

    Members of a compressed tar can be opened once, and fastest in the order of the archive.
    """
    if not listing.compressed:
        return {
            name: partial(_open_member, path, listing, member) for name, member in listing.members.items()
        }
    stream = CompressedTar(path, listing)
    return {name: partial(stream.open, member) for name, member in listing.members.items()}


class CompressedTar:
    """Members of a compressed tar, which threads decompress in one pass.

    Members before the one that is opened are kept until they are opened too. If several threads open the
    members in order, at most one member per thread is kept.
    """

    def __init__(self, path: bytes, listing: ArchiveListing) -> None:
        self._path, self._limits, self._lock = path, listing.limits, Lock()
        self._remaining = deque(sorted(listing.members.values(), key=lambda member: member.offset))
        self._unpacked = dict[int, BinaryIO | Exception]()
        self._tar_stream: TarStream | None = None
        self._file: BinaryIO | None = None

    def open(self, member: "Member") -> BinaryIO:
        """Return the data of a member as a file; raises OSError and MediaError."""
        with self._lock:
            while member.offset not in self._unpacked:
                next_member = self._remaining.popleft()
                self._unpacked[next_member.offset] = self._unpack_member(next_member)
            if not self._remaining:
                self._close()
            result = self._unpacked.pop(member.offset)
        if isinstance(result, Exception):
            raise result
        return result

    def _unpack_member(self, member: "Member") -> BinaryIO | Exception:
        from retrieval.media.archives.decompress import TRUNCATED_MEMBER_REASON, read_to_file

        try:
            if self._tar_stream is None:
                self._file = open_regular_file(self._path)  # closed with the last member
                self._tar_stream = _open_compressed_tar(self._file, self._limits)
            if self._tar_stream is None:  # the file was replaced
                return MediaError(TRUNCATED_MEMBER_REASON)
            self._tar_stream.seek(member.offset)
            return read_to_file(self._tar_stream.read_data, member.size, self._limits)
        except (OSError, MediaError) as error:
            return error

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __del__(self) -> None:
        """Close the files that were not opened, as after an interrupted run."""
        self._close()
        for file in self._unpacked.values():
            if not isinstance(file, Exception):
                file.close()


def _read_members(file: BinaryIO, path: bytes, listing: ArchiveListing) -> "Iterator[Member]":
    """Yield the members of an archive, whose format is detected from its first bytes."""
    from retrieval.media.archives import tar as tars
    from retrieval.media.archives import zip as zips
    from retrieval.media.archives.decompress import too_large_reason

    limits = listing.limits
    size = os.fstat(file.fileno()).st_size
    start = file.read(512)
    file.seek(0)
    if not start:
        raise MediaError("empty file")
    source = _open_compressed_tar(file, limits)
    if source is not None:
        listing.compressed = True
        for member in tars.list_members(source):
            yield (
                member
                if member.size <= limits.max_member_bytes
                else member._replace(unreadable_reason=too_large_reason(limits))
            )
    elif start.startswith(b"PK") or (path[-4:].lower() in (b".zip", b".cbz") and start[257:262] != b"ustar"):
        listing.zip_file = zips.open_zip(path, limits)
        yield from zips.list_members(listing.zip_file, size, limits)
    else:
        yield from tars.list_members(tars.TarStream(file, size))


def _open_compressed_tar(file: BinaryIO, limits: DecodeLimits) -> "TarStream | None":
    """Return the tar in a compressed file; None if the file is not compressed."""
    from retrieval.media.archives.decompress import open_decompressed
    from retrieval.media.archives.tar import TarStream

    max_bytes = limits.max_unpacked_bytes(os.fstat(file.fileno()).st_size)
    tar = open_decompressed(file, limits)
    if tar is None:
        return None
    return TarStream(tar, max_bytes, f"it unpacks to more than the limit of {max_bytes:,} bytes")


def _open_member(path: bytes, listing: ArchiveListing, member: "Member") -> BinaryIO:
    """Open a member of a zip or of an uncompressed tar."""
    from retrieval.media.archives.decompress import CHUNK_BYTES, TRUNCATED_MEMBER_REASON, FileWindow
    from retrieval.media.archives.zip import open_zip_member

    if listing.zip_file is not None and member.zip_info is not None:
        return open_zip_member(listing.zip_file, member.zip_info, listing.limits)
    file = open_regular_file(path)  # closed by the window
    if member.offset + member.size > os.fstat(file.fileno()).st_size:
        file.close()
        raise MediaError(TRUNCATED_MEMBER_REASON)
    return io.BufferedReader(FileWindow(file, member.offset, member.size), CHUNK_BYTES)


def _format_file_count(count: int, example: bytes) -> str:
    """Return `3 files (a.jpg, ...)`."""
    return f"{pluralize(count, 'file')} ({example[:100].decode('utf-8', 'replace')}{', ...' * (count > 1)})"


def _normalize_name(name: bytes) -> bytes | None:
    """Return a member's name as a path relative to its archive; None if it is invalid."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or b"\0" in name or len(name) > MAX_NAME_BYTES:
        return None
    return b"/".join(parts)
