"""Read a tar by the standard library's tarfile: within limits, and on behind what is damaged."""

import re
from collections.abc import Iterator
from tarfile import BLOCKSIZE, SOLARIS_XHDTYPE, XGLTYPE, XHDTYPE, TarError, TarFile, TarInfo
from typing import BinaryIO, NamedTuple, cast
from zipfile import ZipInfo

from retrieval.errors import MediaError
from retrieval.media.archives.decompress import CHUNK_BYTES, ErrorTranslator

MAX_HEADER_BYTES = 100_000  # bytes that a file's name and the like may take
PAX_RECORD = re.compile(rb"([1-9]\d{0,5}) [^=\n]+=")  # of a pax header: length, key=value
DIGITS = re.compile(rb"\d+")
MAX_DIGITS = 300  # digits in a row
TRUNCATED_TAR_REASON = "damaged: it breaks off; what is before that can be read"
HEADER_ERRORS = (
    TarError,
    ValueError,
    IndexError,
    OverflowError,
    RecursionError,
)  # what a header makes tarfile raise
ENCRYPTED_REASON = "encrypted"
SPARSE_REASON = "stored as sparse, which clew does not read"


class Member(NamedTuple):
    """A file in an archive; of a tar where its bytes begin, of a zip what its directory says of it.

    `mtime` is in seconds, 0 where it is not known. `reason` says why the file cannot be opened.
    """

    name: bytes
    offset: int
    size: int
    mtime: float
    reason: str | None = None
    zip_info: ZipInfo | None = None


class TarStream:
    """The bytes of a tar as tarfile takes a file: forward only, with a limit to headers and to the whole."""

    def __init__(self, file: BinaryIO, max_bytes: int, limit_reason: str = TRUNCATED_TAR_REASON) -> None:
        """Read up to `most` bytes of an open file; `beyond` that says why there is no more."""
        self._file, self._max_bytes, self._limit_reason, self._position = file, max_bytes, limit_reason, 0
        self.header_budget, self.last_header = MAX_HEADER_BYTES, b""

    def tell(self) -> int:
        """Return the place in the tar."""
        return self._position

    def seek(self, position: int) -> None:
        """Go forward."""
        if position < self._position:
            raise MediaError("damaged: a file's size is below zero")
        if position > self._max_bytes:
            raise MediaError(self._limit_reason)
        if self._file.seekable():
            with ErrorTranslator():
                self._position = self._file.seek(position)
        while self._position < position and self.read_data(min(position - self._position, CHUNK_BYTES)):
            pass
        if self._position < position:
            raise MediaError(TRUNCATED_TAR_REASON)

    def read(self, count: int) -> bytes:
        """Return what tarfile asks for, which are headers."""
        if not 0 <= count <= self.header_budget:
            raise MediaError(f"a file's header takes more than the limit of {MAX_HEADER_BYTES:,} bytes")
        self.header_budget -= count
        kind, self.last_header = self.last_header[156:157], self.read_data(count)
        if count > BLOCKSIZE and kind in (XHDTYPE, XGLTYPE, SOLARIS_XHDTYPE):
            _check_pax_records(self.last_header)
        return self.last_header

    def read_data(self, count: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        with ErrorTranslator():
            data = self._file.read(count)
        self._position += len(data)
        if self._position > self._max_bytes:
            raise MediaError(self._limit_reason)
        return data


def list_members(stream: TarStream) -> Iterator[Member]:
    """Yield the regular files of a tar; raises MediaError behind them if something is wrong with it."""
    try:
        tar = TarFile(fileobj=cast(BinaryIO, stream), encoding="utf-8")
    except HEADER_ERRORS as error:
        raise MediaError(f"not an archive: it begins with {stream.last_header[:8]!r}") from error
    lost = None
    while True:
        try:
            info, broken = tar.next(), False
        except HEADER_ERRORS:
            info, broken = None, True
        if info is None:
            if broken or stream.last_header.strip(b"\0"):
                lost = tar.offset if lost is None else lost
            if lost is None or not stream.last_header:
                break
            tar.offset = stream.tell()  # the next block may be a header
        elif info.isreg():
            stream.seek(info.offset_data + (0 if info.issparse() else info.size))
            yield _to_member(info)
        stream.header_budget, tar.pax_headers = MAX_HEADER_BYTES, {}
        tar.members.clear()  # type: ignore[attr-defined]
    if lost is not None:
        raise MediaError(f"damaged: there is no header at byte {lost:,}; a file may be missing there")


def _to_member(info: TarInfo) -> Member:
    sparse = info.issparse() or any(key.startswith("GNU.sparse.") for key in info.pax_headers)
    name = info.name.encode("utf-8", "surrogateescape")
    return Member(name, info.offset_data, info.size, info.mtime, SPARSE_REASON if sparse else None)


def _check_pax_records(records: bytes) -> None:
    """Refuse what is no pax header: tarfile takes hours for some before Python 3.11.10 (CVE-2024-6232)."""
    records, at = records.rstrip(b"\0"), 0
    sound = max(map(len, DIGITS.findall(records)), default=0) < MAX_DIGITS
    while sound and at < len(records):
        found = PAX_RECORD.match(records, at)
        at += int(found[1]) if found else 0
        sound = found is not None and records[at - 1 : at] == b"\n"
    if not sound:
        raise MediaError("damaged: what stands before a file is no header")
