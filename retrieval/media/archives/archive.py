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
from retrieval.formatting import some

if TYPE_CHECKING:
    from zipfile import ZipFile

    from retrieval.media.archives.tar import Member, Source

SUFFIXES = (".zip", ".cbz", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ODD_NAME = "a name that leads out of the archive, or is too long"
MOST = 250_000  # files of an archive that are read
LONGEST = 1_000  # bytes of a name: the system takes 4,096 for a whole path
_SUFFIX = "|".join(map(re.escape, SUFFIXES)).encode()
_NAME = re.compile(rb"(?:%b)\Z" % _SUFFIX, re.IGNORECASE)
_FOLDER = re.compile(rb"(?:%b)/" % _SUFFIX, re.IGNORECASE)
Opener = Callable[[], BinaryIO]


@dataclass(slots=True)
class Listing:
    """What is in an archive: name -> member, as they come; `packed` if only the whole can be unpacked.

    Of a zip it holds the zip, open.
    """

    members: "dict[bytes, Member]" = field(default_factory=dict)
    packed: bool = False
    zip: "ZipFile | None" = None
    troubles: list[str] = field(default_factory=list)  # what is wrong with the archive


def is_archive(name: bytes) -> bool:
    """Say whether a name is that of an archive."""
    return suffix_of(name) is not None


def suffix_of(name: bytes) -> str | None:
    """Return the suffix that makes a name that of an archive, in small letters; None of any other name."""
    found = _NAME.search(name)
    return None if found is None else found[0].decode().lower()


def archive_of(path: bytes) -> tuple[bytes, bytes] | None:
    """Return the archive that a path leads into, and the name in there; None where it leads into none."""
    for found in _FOLDER.finditer(path):
        archive = path[: found.end() - 1]
        if os.path.isfile(archive):
            return archive, path[found.end() :]
    return None


def is_there(path: Path) -> bool:
    """Say whether there is something at this path, or an archive that it would be in."""
    return os.path.exists(path) or archive_of(os.fsencode(path)) is not None


def open_place(path: str | Path | bytes) -> BinaryIO:
    """Open a file, in an archive too, to be read from any place in it; raises OSError or MediaError."""
    place = os.fsencode(path)
    try:
        return open(place, "rb")
    except NotADirectoryError:
        found = archive_of(place)
        if found is None:
            raise
    archive, name = found
    listing = list_archive(archive, name.__eq__)
    if name not in listing.members:
        raise FileNotFoundError(2, f"Not in {os.fsdecode(archive)}", os.fsdecode(path))
    return openers(archive, listing)[name]()


def is_file(path: Path) -> bool:
    """Say whether there is such a file, or an archive that it would be in."""
    return path.is_file() or archive_of(os.fsencode(path)) is not None


def list_archive(path: bytes, keep: Callable[[bytes], bool]) -> Listing:
    """Return the files of an archive whose names pass; of several of one name the last. Raises OSError.

    Those that cannot be opened, and names that lead out of the archive, are left out and said.
    """
    listing, count, first = Listing(), Counter[str](), dict[str, bytes]()
    with open(path, "rb") as file:
        try:
            for member in _members(file, path, listing):
                name = _below(member.name)
                if name is not None and not keep(name):
                    continue
                reason = ODD_NAME if name is None else member.reason
                if name is None or reason is not None:
                    count[reason or ""] += 1
                    first.setdefault(reason or "", member.name)
                else:
                    listing.members.pop(name, None)
                    listing.members[name] = member
                    if len(listing.members) == MOST:
                        raise MediaError(f"more than the limit of {MOST:,} files; the rest is left out")
        except MediaError as error:
            listing.troubles.append(str(error))
        except OSError:
            raise
        except Exception as error:  # our own bug must not cost the person the other files
            listing.troubles.append(f"unexpected {type(error).__name__}: {error}")
    listing.troubles += [f"{_some(n, first[reason])} left out: {reason}" for reason, n in count.items()]
    return listing


def openers(path: bytes, listing: Listing) -> dict[bytes, Opener]:
    """Return what opens each member; of a packed tar each once, and best in their order."""
    if not listing.packed:
        return {name: partial(_open, path, listing.zip, each) for name, each in listing.members.items()}
    stream = Stream(path, listing.members.values())
    return {name: partial(stream.open, member) for name, member in listing.members.items()}


class Stream:
    """The wanted members of a packed tar, unpacked in one go by whichever thread is ahead.

    What is passed on the way to a member waits for the one who will ask for it; asked in order by several
    threads, that is no more than they are.
    """

    def __init__(self, path: bytes, members: "Iterable[Member]") -> None:
        self._path, self._lock = path, Lock()
        self._left = deque(sorted(members, key=lambda member: member.at))
        self._waiting = dict[int, BinaryIO | Exception]()
        self._source: Source | None = None
        self._file: BinaryIO | None = None

    def open(self, member: "Member") -> BinaryIO:
        """Return a member as a file of its own; raises OSError or MediaError."""
        with self._lock:
            while member.at not in self._waiting:
                following = self._left.popleft()
                self._waiting[following.at] = self._unpack(following)
            if not self._left:
                self._close()
            found = self._waiting.pop(member.at)
        if isinstance(found, Exception):
            raise found
        return found

    def _unpack(self, member: "Member") -> BinaryIO | Exception:
        from retrieval.media.archives.decompress import BREAKS_OFF, spool

        try:
            if self._source is None:
                self._file = open(self._path, "rb")  # noqa: SIM115  closed with the last member
                self._source = _packed(self._file)
            if self._source is None:  # another archive by now
                return MediaError(BREAKS_OFF)
            self._source.seek(member.at)
            return spool(self._source.take, member.size)
        except (OSError, MediaError) as error:
            return error

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __del__(self) -> None:
        """Close what nobody has asked for: the run was cut short."""
        self._close()
        for file in self._waiting.values():
            if not isinstance(file, Exception):
                file.close()


def _members(file: BinaryIO, path: bytes, listing: Listing) -> "Iterator[Member]":
    """Yield the members of an archive, which is what its own bytes say."""
    from retrieval.media.archives import tar as tars
    from retrieval.media.archives import zip as zips
    from retrieval.media.archives.decompress import LARGEST, TOO_LARGE

    size = os.fstat(file.fileno()).st_size
    start = file.read(512)
    file.seek(0)
    if not start:
        raise MediaError("empty file")
    source = _packed(file)
    if source is not None:
        listing.packed = True
        for member in tars.members(source):
            yield member if member.size <= LARGEST else member._replace(reason=TOO_LARGE)
    elif start.startswith(b"PK") or (path[-4:].lower() in (b".zip", b".cbz") and start[257:262] != b"ustar"):
        listing.zip = zips.open_zip(path)
        yield from zips.members(listing.zip, size)
    else:
        yield from tars.members(tars.Source(file, size))


def _packed(file: BinaryIO) -> "Source | None":
    """Return what an open file unpacks to; None where it is not packed."""
    from retrieval.media.archives.decompress import allowed, unpacked
    from retrieval.media.archives.tar import Source

    most = allowed(os.fstat(file.fileno()).st_size)
    tar = unpacked(file)
    return None if tar is None else Source(tar, most, f"it unpacks to more than the limit of {most:,} bytes")


def _open(path: bytes, archive: "ZipFile | None", member: "Member") -> BinaryIO:
    """Open a member that is stored as it is, or packed alone."""
    from retrieval.media.archives.decompress import BREAKS_OFF, CHUNK, Window
    from retrieval.media.archives.zip import open_member

    if archive is not None and member.zipped is not None:
        return open_member(archive, member.zipped)
    file = open(path, "rb")  # noqa: SIM115  what is returned closes it
    if member.at + member.size > os.fstat(file.fileno()).st_size:
        file.close()
        raise MediaError(BREAKS_OFF)
    return io.BufferedReader(Window(file, member.at, member.size), CHUNK)


def _some(count: int, first: bytes) -> str:
    """Return `3 files (a.jpg, ...)`."""
    return f"{some(count, 'file')} ({first[:100].decode('utf-8', 'replace')}{', ...' * (count > 1)})"


def _below(name: bytes) -> bytes | None:
    """Return a member's name as a path below its archive; None where it leads out, or is none."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if not parts or b".." in parts or b"\0" in name or len(name) > LONGEST:
        return None
    return b"/".join(parts)
