"""Archives as folders: which path leads into one, what is in it, and its files opened, unpacked nowhere.

A file in an archive has the path `album.zip/IMG_1.jpg`. Where a member's bytes are stored as they are, it is
read in its place; what is packed is unpacked into memory, or into a temporary file that is deleted.
"""

import io
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from retrieval.errors import MediaError
from retrieval.formatting import pluralize

if TYPE_CHECKING:
    from zipfile import ZipFile

    from retrieval.media.archives.tar import Member, TarStream

ARCHIVE_SUFFIXES = (".zip", ".cbz", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
INVALID_NAME_REASON = "a name that leads out of the archive, or is too long"
MAX_MEMBERS = 250_000  # files of an archive that are read
MAX_NAME_BYTES = 1_000  # bytes of a name: the system takes 4,096 for a whole path
_SUFFIX_PATTERN = "|".join(map(re.escape, ARCHIVE_SUFFIXES)).encode()
_ARCHIVE_NAME = re.compile(rb"(?:%b)\Z" % _SUFFIX_PATTERN, re.IGNORECASE)
_ARCHIVE_FOLDER = re.compile(rb"(?:%b)/" % _SUFFIX_PATTERN, re.IGNORECASE)
Opener = Callable[[], BinaryIO]


@dataclass(slots=True)
class ArchiveListing:
    """What is in an archive: name -> member, as they come; `packed` if only the whole can be unpacked.

    Of a zip it holds the zip, open.
    """

    members: "dict[bytes, Member]" = field(default_factory=dict)
    compressed: bool = False
    zip_file: "ZipFile | None" = None
    problems: list[str] = field(default_factory=list)  # what is wrong with the archive


def is_archive(name: bytes) -> bool:
    """Say whether a name is that of an archive."""
    return archive_suffix(name) is not None


def archive_suffix(name: bytes) -> str | None:
    """Return the suffix that makes a name that of an archive, in small letters; None of any other name."""
    found = _ARCHIVE_NAME.search(name)
    return None if found is None else found[0].decode().lower()


def split_archive_path(path: bytes) -> tuple[bytes, bytes] | None:
    """Return the archive that a path leads into, and the name in there; None where it leads into none."""
    for found in _ARCHIVE_FOLDER.finditer(path):
        archive = path[: found.end() - 1]
        if os.path.isfile(archive):
            return archive, path[found.end() :]
    return None


def path_exists(path: Path) -> bool:
    """Say whether there is something at this path, or an archive that it would be in."""
    return os.path.exists(path) or split_archive_path(os.fsencode(path)) is not None


def open_path(path: str | Path | bytes) -> BinaryIO:
    """Open a file, in an archive too, to be read from any place in it; raises OSError or MediaError."""
    place = os.fsencode(path)
    try:
        return open(place, "rb")
    except NotADirectoryError:
        found = split_archive_path(place)
        if found is None:
            raise
    archive, name = found
    listing = list_archive(archive, name.__eq__)
    if name not in listing.members:
        raise FileNotFoundError(2, f"Not in {os.fsdecode(archive)}", os.fsdecode(path))
    return member_openers(archive, listing)[name]()


def is_file(path: Path) -> bool:
    """Say whether there is such a file, or an archive that it would be in."""
    return path.is_file() or split_archive_path(os.fsencode(path)) is not None


def list_archive(path: bytes, name_filter: Callable[[bytes], bool]) -> ArchiveListing:
    """Return the files of an archive whose names pass; of several of one name the last. Raises OSError.

    Those that cannot be opened, and names that lead out of the archive, are left out and said.
    """
    listing, count, first = ArchiveListing(), Counter[str](), dict[str, bytes]()
    with open(path, "rb") as file:
        try:
            for member in _read_members(file, path, listing):
                name = _normalize_name(member.name)
                if name is not None and not name_filter(name):
                    continue
                reason = INVALID_NAME_REASON if name is None else member.reason
                if name is None or reason is not None:
                    count[reason or ""] += 1
                    first.setdefault(reason or "", member.name)
                else:
                    listing.members.pop(name, None)
                    listing.members[name] = member
                    if len(listing.members) == MAX_MEMBERS:
                        raise MediaError(
                            f"more than the limit of {MAX_MEMBERS:,} files; the rest is left out"
                        )
        except MediaError as error:
            listing.problems.append(str(error))
        except OSError:
            raise
        except Exception as error:  # our own bug must not cost the person the other files
            listing.problems.append(f"unexpected {type(error).__name__}: {error}")
    listing.problems += [
        f"{_format_file_count(n, first[reason])} left out: {reason}" for reason, n in count.items()
    ]
    return listing


def member_openers(path: bytes, listing: ArchiveListing) -> dict[bytes, Opener]:
    """Return what opens each member; of a packed tar each once, and best in their order."""
    if not listing.compressed:
        return {
            name: partial(_open_member, path, listing.zip_file, each)
            for name, each in listing.members.items()
        }
    stream = CompressedTar(path, listing.members.values())
    return {name: partial(stream.open, member) for name, member in listing.members.items()}


class CompressedTar:
    """The wanted members of a packed tar, unpacked in one go by whichever thread is ahead.

    What is passed on the way to a member waits for the one who will ask for it; asked in order by several
    threads, that is no more than they are.
    """

    def __init__(self, path: bytes, members: "Iterable[Member]") -> None:
        self._path, self._lock = path, Lock()
        self._remaining = deque(sorted(members, key=lambda member: member.offset))
        self._unpacked = dict[int, BinaryIO | Exception]()
        self._tar_stream: TarStream | None = None
        self._file: BinaryIO | None = None

    def open(self, member: "Member") -> BinaryIO:
        """Return a member as a file of its own; raises OSError or MediaError."""
        with self._lock:
            while member.offset not in self._unpacked:
                following = self._remaining.popleft()
                self._unpacked[following.offset] = self._unpack_member(following)
            if not self._remaining:
                self._close()
            found = self._unpacked.pop(member.offset)
        if isinstance(found, Exception):
            raise found
        return found

    def _unpack_member(self, member: "Member") -> BinaryIO | Exception:
        from retrieval.media.archives.decompress import TRUNCATED_MEMBER_REASON, read_to_file

        try:
            if self._tar_stream is None:
                self._file = open(self._path, "rb")  # noqa: SIM115  closed with the last member
                self._tar_stream = _open_compressed_tar(self._file)
            if self._tar_stream is None:  # another archive by now
                return MediaError(TRUNCATED_MEMBER_REASON)
            self._tar_stream.seek(member.offset)
            return read_to_file(self._tar_stream.read_data, member.size)
        except (OSError, MediaError) as error:
            return error

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __del__(self) -> None:
        """Close what nobody has asked for: the run was cut short."""
        self._close()
        for file in self._unpacked.values():
            if not isinstance(file, Exception):
                file.close()


def _read_members(file: BinaryIO, path: bytes, listing: ArchiveListing) -> "Iterator[Member]":
    """Yield the members of an archive, which is what its own bytes say."""
    from retrieval.media.archives import tar as tars
    from retrieval.media.archives import zip as zips
    from retrieval.media.archives.decompress import MAX_MEMBER_BYTES, TOO_LARGE_REASON

    size = os.fstat(file.fileno()).st_size
    start = file.read(512)
    file.seek(0)
    if not start:
        raise MediaError("empty file")
    source = _open_compressed_tar(file)
    if source is not None:
        listing.compressed = True
        for member in tars.list_members(source):
            yield member if member.size <= MAX_MEMBER_BYTES else member._replace(reason=TOO_LARGE_REASON)
    elif start.startswith(b"PK") or (path[-4:].lower() in (b".zip", b".cbz") and start[257:262] != b"ustar"):
        listing.zip_file = zips.open_zip(path)
        yield from zips.list_members(listing.zip_file, size)
    else:
        yield from tars.list_members(tars.TarStream(file, size))


def _open_compressed_tar(file: BinaryIO) -> "TarStream | None":
    """Return what an open file unpacks to; None where it is not packed."""
    from retrieval.media.archives.decompress import max_unpacked_size, open_decompressed
    from retrieval.media.archives.tar import TarStream

    most = max_unpacked_size(os.fstat(file.fileno()).st_size)
    tar = open_decompressed(file)
    return (
        None if tar is None else TarStream(tar, most, f"it unpacks to more than the limit of {most:,} bytes")
    )


def _open_member(path: bytes, archive: "ZipFile | None", member: "Member") -> BinaryIO:
    """Open a member that is stored as it is, or packed alone."""
    from retrieval.media.archives.decompress import CHUNK_BYTES, TRUNCATED_MEMBER_REASON, FileWindow
    from retrieval.media.archives.zip import open_zip_member

    if archive is not None and member.zip_info is not None:
        return open_zip_member(archive, member.zip_info)
    file = open(path, "rb")  # noqa: SIM115  what is returned closes it
    if member.offset + member.size > os.fstat(file.fileno()).st_size:
        file.close()
        raise MediaError(TRUNCATED_MEMBER_REASON)
    return io.BufferedReader(FileWindow(file, member.offset, member.size), CHUNK_BYTES)


def _format_file_count(count: int, example: bytes) -> str:
    """Return `3 files (a.jpg, ...)`."""
    return f"{pluralize(count, 'file')} ({example[:100].decode('utf-8', 'replace')}{', ...' * (count > 1)})"


def _normalize_name(name: bytes) -> bytes | None:
    """Return a member's name as a path below its archive; None where it leads out, or is none."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or b"\0" in name or len(name) > MAX_NAME_BYTES:
        return None
    return b"/".join(parts)
