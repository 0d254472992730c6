"""Read a tar by the standard library's tarfile: within limits, and on behind what is damaged."""

import re
from collections.abc import Iterator
from tarfile import BLOCKSIZE, SOLARIS_XHDTYPE, XGLTYPE, XHDTYPE, TarError, TarFile, TarInfo
from typing import BinaryIO, NamedTuple, cast
from zipfile import ZipInfo

from retrieval.errors import MediaError
from retrieval.media.archives.decompress import CHUNK, Damaged

HEADER = 100_000  # bytes that a file's name and the like may take
RECORD = re.compile(rb"([1-9]\d{0,5}) [^=\n]+=")  # of a pax header: length, key=value
NUMBER = re.compile(rb"\d+")
LONGEST = 300  # digits in a row
BREAKS = "damaged: it breaks off; what is before that can be read"
BROKEN = (
    TarError,
    ValueError,
    IndexError,
    OverflowError,
    RecursionError,
)  # what a header makes tarfile raise
ENCRYPTED = "encrypted"
SPARSE = "stored as sparse, which clew does not read"


class Member(NamedTuple):
    """A file in an archive; of a tar where its bytes begin, of a zip what its directory says of it.

    `mtime` is in seconds, 0 where it is not known. `reason` says why the file cannot be opened.
    """

    name: bytes
    at: int
    size: int
    mtime: float
    reason: str | None = None
    zipped: ZipInfo | None = None


class Source:
    """The bytes of a tar as tarfile takes a file: forward only, with a limit to headers and to the whole."""

    def __init__(self, file: BinaryIO, most: int, beyond: str = BREAKS) -> None:
        """Read up to `most` bytes of an open file; `beyond` that says why there is no more."""
        self._file, self._most, self._beyond, self._at = file, most, beyond, 0
        self.headers, self.last = HEADER, b""

    def tell(self) -> int:
        """Return the place in the tar."""
        return self._at

    def seek(self, position: int) -> None:
        """Go forward."""
        if position < self._at:
            raise MediaError("damaged: a file's size is below zero")
        if position > self._most:
            raise MediaError(self._beyond)
        if self._file.seekable():
            with Damaged():
                self._at = self._file.seek(position)
        while self._at < position and self.take(min(position - self._at, CHUNK)):
            pass
        if self._at < position:
            raise MediaError(BREAKS)

    def read(self, count: int) -> bytes:
        """Return what tarfile asks for, which are headers."""
        if not 0 <= count <= self.headers:
            raise MediaError(f"a file's header takes more than the limit of {HEADER:,} bytes")
        self.headers -= count
        kind, self.last = self.last[156:157], self.take(count)
        if count > BLOCKSIZE and kind in (XHDTYPE, XGLTYPE, SOLARIS_XHDTYPE):
            _check(self.last)
        return self.last

    def take(self, count: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        with Damaged():
            data = self._file.read(count)
        self._at += len(data)
        if self._at > self._most:
            raise MediaError(self._beyond)
        return data


def members(source: Source) -> Iterator[Member]:
    """Yield the regular files of a tar; raises MediaError behind them if something is wrong with it."""
    try:
        tar = TarFile(fileobj=cast(BinaryIO, source), encoding="utf-8")
    except BROKEN as error:
        raise MediaError(f"not an archive: it begins with {source.last[:8]!r}") from error
    lost = None
    while True:
        try:
            info, broken = tar.next(), False
        except BROKEN:
            info, broken = None, True
        if info is None:
            if broken or source.last.strip(b"\0"):
                lost = tar.offset if lost is None else lost
            if lost is None or not source.last:
                break
            tar.offset = source.tell()  # the next block may be a header
        elif info.isreg():
            source.seek(info.offset_data + (0 if info.issparse() else info.size))
            yield _member(info)
        source.headers, tar.pax_headers = HEADER, {}
        tar.members.clear()  # type: ignore[attr-defined]
    if lost is not None:
        raise MediaError(f"damaged: there is no header at byte {lost:,}; a file may be missing there")


def _member(info: TarInfo) -> Member:
    sparse = info.issparse() or any(key.startswith("GNU.sparse.") for key in info.pax_headers)
    name = info.name.encode("utf-8", "surrogateescape")
    return Member(name, info.offset_data, info.size, info.mtime, SPARSE if sparse else None)


def _check(records: bytes) -> None:
    """Refuse what is no pax header: tarfile takes hours for some before Python 3.11.10 (CVE-2024-6232)."""
    records, at = records.rstrip(b"\0"), 0
    sound = max(map(len, NUMBER.findall(records)), default=0) < LONGEST
    while sound and at < len(records):
        found = RECORD.match(records, at)
        at += int(found[1]) if found else 0
        sound = found is not None and records[at - 1 : at] == b"\n"
    if not sound:
        raise MediaError("damaged: what stands before a file is no header")
