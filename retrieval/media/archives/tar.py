"""List the members of tar archives with tarfile: within limits, and past damaged headers."""

import re
from collections.abc import Iterator
from tarfile import BLOCKSIZE, SOLARIS_XHDTYPE, XGLTYPE, XHDTYPE, TarError, TarFile, TarInfo
from typing import BinaryIO, cast

from retrieval.errors import MediaError
from retrieval.media.archives.decompress import CHUNK_BYTES, ErrorTranslator
from retrieval.media.archives.member import Member

MAX_HEADER_BYTES = 100_000  # of the headers of one file
PAX_RECORD = re.compile(rb"([1-9]\d{0,5}) [^=\n]+=")  # "length key=value"
MISSING_END_REASON = "damaged: no end-of-archive marker; files may be missing"
DIGITS = re.compile(rb"\d+")
MAX_DIGITS = 300  # in a row, in a pax header
TRUNCATED_TAR_REASON = "damaged: truncated; the files before are read"
HEADER_ERRORS = (TarError, ValueError, IndexError, OverflowError, RecursionError)  # raised by tarfile
SPARSE_REASON = "a sparse file, which clew does not read"


class TarStream:
    """A file for tarfile that reads forward only, and limits the size of headers and of the archive."""

    def __init__(self, file: BinaryIO, max_bytes: int, limit_reason: str = TRUNCATED_TAR_REASON) -> None:
        """Read up to `max_bytes` of an open file; `limit_reason` is the message of the error beyond."""
        self._file, self._max_bytes, self._limit_reason, self._position = file, max_bytes, limit_reason, 0
        self.header_budget, self.last_header = MAX_HEADER_BYTES, b""

    def tell(self) -> int:
        """Return the current offset."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip forward to an offset."""
        if position < self._position:
            raise MediaError("damaged: a file has a negative size")
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
        """Return header bytes for tarfile, which calls this method; data is read by `read_data`."""
        if not 0 <= count <= self.header_budget:
            raise MediaError(f"a file has a header of more than the limit of {MAX_HEADER_BYTES:,} bytes")
        self.header_budget -= count
        kind, self.last_header = self.last_header[156:157], self.read_data(count)
        if count > BLOCKSIZE and kind in (XHDTYPE, XGLTYPE, SOLARIS_XHDTYPE):
            _check_pax_records(self.last_header)
        return self.last_header

    def read_data(self, count: int) -> bytes:
        """Return `count` bytes, or fewer at the end."""
        with ErrorTranslator():
            data = self._file.read(count)
        self._position += len(data)
        if self._position > self._max_bytes:
            raise MediaError(self._limit_reason)
        return data


def list_members(stream: TarStream) -> Iterator[Member]:
    """Yield the regular files of a tar; then raise MediaError if a part of it could not be read."""
    try:
        tar = TarFile(fileobj=cast(BinaryIO, stream), encoding="utf-8")
    except HEADER_ERRORS as error:
        raise MediaError(f"not an archive: it begins with {stream.last_header[:8]!r}") from error
    lost_offset = None  # of the first damaged header
    while True:
        try:
            info, is_damaged = tar.next(), False
        except HEADER_ERRORS:
            info, is_damaged = None, True
        if info is None:
            if is_damaged or stream.last_header.strip(b"\0"):
                lost_offset = tar.offset if lost_offset is None else lost_offset
            if lost_offset is None or not stream.last_header:
                break
            tar.offset = stream.tell()  # the next block may be a header
        elif info.isreg():
            stream.seek(info.offset_data + (0 if info.issparse() else info.size))
            yield _to_member(info)
        stream.header_budget, tar.pax_headers = MAX_HEADER_BYTES, {}
        tar.members.clear()  # type: ignore[attr-defined]
    if lost_offset is None and not stream.last_header:  # cut off between two files
        raise MediaError(MISSING_END_REASON)
    if lost_offset is not None:
        raise MediaError(f"damaged: no valid header at byte {lost_offset:,}; a file may be missing")


def _to_member(info: TarInfo) -> Member:
    sparse = info.issparse() or any(key.startswith("GNU.sparse.") for key in info.pax_headers)
    name = info.name.encode("utf-8", "surrogateescape")
    return Member(name, info.offset_data, info.size, info.mtime, SPARSE_REASON if sparse else None)


def _check_pax_records(records: bytes) -> None:
    """Raise MediaError for invalid pax records.

    Before Python 3.11.10, tarfile can take hours for them (CVE-2024-6232).
    """
    records, offset = records.rstrip(b"\0"), 0
    is_valid = max(map(len, DIGITS.findall(records)), default=0) < MAX_DIGITS
    while is_valid and offset < len(records):
        record = PAX_RECORD.match(records, offset)
        offset += int(record[1]) if record else 0
        is_valid = record is not None and records[offset - 1 : offset] == b"\n"
    if not is_valid:
        raise MediaError("damaged: invalid header")
