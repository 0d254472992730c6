"""Read a tar: its headers in order, each checked, whatever is broken between them."""

import re
from collections.abc import Iterator
from tarfile import (
    BLKTYPE,
    CHRTYPE,
    DIRTYPE,
    FIFOTYPE,
    GNUTYPE_LONGLINK,
    GNUTYPE_LONGNAME,
    GNUTYPE_SPARSE,
    LNKTYPE,
    REGULAR_TYPES,
    SOLARIS_XHDTYPE,
    SYMTYPE,
    XHDTYPE,
    HeaderError,
    TarInfo,
)
from typing import BinaryIO, NamedTuple, Protocol

from retrieval.errors import MediaError

BLOCK = 512
HEADER = 1_000_000  # bytes that names and the like may take
NO_DATA = (LNKTYPE, SYMTYPE, DIRTYPE, FIFOTYPE, CHRTYPE, BLKTYPE)
FILES = frozenset(REGULAR_TYPES) - {GNUTYPE_SPARSE}
SPEAKING = (XHDTYPE, SOLARIS_XHDTYPE, GNUTYPE_LONGNAME, GNUTYPE_LONGLINK)  # of the file behind them
RECORD = re.compile(rb"(\d{1,7}) ")
ENCRYPTED = "encrypted"
SPARSE = "stored as sparse, which clew does not read"


class Member(NamedTuple):
    """A file in an archive: where its bytes begin (in a zip, its header), and how they are packed there.

    `mtime` is in seconds, 0 where it is not known; `packed`, `method` and `crc` are a zip's. `reason` says
    why the file cannot be opened.
    """

    name: bytes
    at: int
    size: int
    mtime: float
    packed: int = -1
    method: int | None = None
    crc: int | None = None
    reason: str | None = None


class Source(Protocol):
    """Bytes that are read forward."""

    position: int

    def read(self, count: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        ...

    def skip_to(self, position: int) -> bool:
        """Go forward; returns False where there is less."""
        ...


class Plain:
    """An open file as a source."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.position = 0

    def read(self, count: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        data = self._file.read(count)
        self.position += len(data)
        return data

    def skip_to(self, position: int) -> bool:
        """Go forward; returns False where there is less."""
        self.position = self._file.seek(min(position, self._size))
        return self.position == position


def members(source: Source) -> Iterator[Member]:
    """Yield the regular files of a tar; raises MediaError behind them if something is wrong with it.

    Where a header is none, the next one that names its format is searched for.
    """
    said = dict[bytes, bytes]()  # of the next file, by headers before its own
    trouble, lost = None, False
    while True:
        member = None
        at = source.position
        block = source.read(BLOCK)
        if not block or (not lost and not block.strip(b"\0")):
            break
        header = _header(block, lost)
        if header is None:
            if not at:
                raise MediaError(f"not an archive: it begins with {block[:8]!r}")
            lost, said = True, {}
            trouble = trouble or f"damaged: there is no header at byte {at:,}; a file may be missing there"
            continue
        lost = False
        if header.type in SPEAKING:
            said |= _said(source, header)
            size = header.size
        else:
            sparse = _is_sparse(source, block, header, said)
            size = int(_number(said.get(b"size"), header.size))
            if header.type in FILES or sparse:
                member = _member(source.position, size, header, said, SPARSE if sparse else None)
            size, said = 0 if header.type in NO_DATA else size, {}
        if not _pass_over(source, at + BLOCK if header.type in SPEAKING else source.position, size):
            raise MediaError("damaged: it breaks off; what is before that can be read")
        if member is not None:
            yield member
    if trouble:
        raise MediaError(trouble)


def _header(block: bytes, lost: bool) -> TarInfo | None:
    """Return the header that a block is; among data it must name its format, as data may look so."""
    try:
        header = TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (HeaderError, ValueError, OverflowError):
        return None
    return None if header.size < 0 or (lost and block[257:262] != b"ustar") else header


def _said(source: Source, header: TarInfo) -> dict[bytes, bytes]:
    """Read what a header says of the next file."""
    if header.size > HEADER:
        raise MediaError(f"a header of {header.size:,} bytes, more than the limit of {HEADER:,}")
    data = source.read(header.size)
    if header.type == GNUTYPE_LONGNAME:
        return {b"path": data.partition(b"\0")[0]}
    said = dict[bytes, bytes]()
    at = 0 if header.type in (XHDTYPE, SOLARIS_XHDTYPE) else len(data)
    while found := RECORD.match(data, at):  # length, key=value
        end = at + int(found[1])
        key, _, value = data[found.end() : end - 1].partition(b"=")
        said[key] = value
        at = max(end, found.end())
    return said


def _is_sparse(source: Source, block: bytes, header: TarInfo, said: dict[bytes, bytes]) -> bool:
    """Say whether a file is stored without its holes; the list of these is passed over."""
    if header.type == GNUTYPE_SPARSE:
        more = block[482]
        while more and len(block := source.read(BLOCK)) == BLOCK:
            more = block[504]
        return True
    return any(key.startswith(b"GNU.sparse.") for key in said)


def _member(at: int, size: int, header: TarInfo, said: dict[bytes, bytes], reason: str | None) -> Member:
    name = header.name.encode("utf-8", "surrogateescape")
    name = said.get(b"GNU.sparse.name", said.get(b"path", name))
    return Member(name, at, size, _number(said.get(b"mtime"), header.mtime), reason=reason)


def _number(text: bytes | None, usual: float) -> float:
    """Return what a record says if it is a number, else what the header says."""
    try:
        number = usual if text is None else int(text) if text.isdigit() else float(text)
    except ValueError:
        return usual
    return number if 0 <= number < 2**63 else usual


def _pass_over(source: Source, begun: int, size: int) -> bool:
    """Go to the next header; returns False where the data ends before. The last may lack its filling."""
    whole = source.skip_to(begun + size)
    source.skip_to(begun + size + -size % BLOCK)
    return whole
