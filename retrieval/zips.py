"""Read a zip: its directory, or where that is missing, one file after the other."""

import io
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from struct import Struct
from typing import BinaryIO

from retrieval.errors import MediaError
from retrieval.tars import ENCRYPTED, Member
from retrieval.unpack import (
    CHUNK,
    LARGEST,
    TOO_LARGE,
    Unpacking,
    Window,
    allowed,
    bzip2,
    check,
    deflate,
    lzma_of_zip,
    spool,
)

ENTRY, FILE = b"PK\1\2", b"PK\3\4"
_END, _END64, _PLACE64 = Struct("<4s4H2LH"), Struct("<4sQ2H2L4Q"), Struct("<4sLQL")
_ENTRY, _FILE = Struct("<4s6H3L5H2L"), Struct("<4s5H3L2H")
BEHIND = 66_000  # bytes in which a zip's end begins: the longest comment, and some
STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
METHODS = {6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
LOCKED, SIZES_BEHIND, UTF8 = 1, 8, 1 << 11  # flags
LARGE, TIMES = 1, 0x5455  # of extra fields
LINK, KIND, UNIX = 0o120000, 0o170000, 3


def members(file: BinaryIO, size: int) -> Iterator[Member]:
    """Yield the regular files of a zip; raises MediaError behind them if something is wrong with it."""
    most, total = allowed(size), 0
    for member in _every(file, size):
        total += member.size  # of stored ones too: several may be the same bytes
        if total > most:
            raise MediaError(f"it unpacks to more than the limit of {most:,} bytes; the rest is left out")
        yield member


def open_member(file: BinaryIO, member: Member) -> BinaryIO:
    """Return a file of an open zip, and close that now or with it; raises MediaError."""
    if not 0 <= member.at < 2**62:
        raise MediaError("damaged: it is nowhere in the archive")
    file.seek(member.at)
    fields = file.read(_FILE.size)
    if len(fields) < _FILE.size or not fields.startswith(FILE):
        raise MediaError("damaged: it is not where the archive's directory says")
    start = member.at + _FILE.size + sum(_FILE.unpack(fields)[-2:])
    file.seek(start)
    if member.method == STORED:
        check(file.read, member.size, member.crc)
        return io.BufferedReader(Window(file, start, member.size), CHUNK)
    with file:
        feed = _bounded(file, member.packed)
        begin = deflate if member.method == DEFLATED else bzip2
        if member.method == LZMA:
            begin = partial(lzma_of_zip, feed(9).ljust(9, b"\0"))
        unpacking = Unpacking(feed, begin, member.size, lone=True)
        return spool(unpacking.read, member.size, member.crc)


def _every(file: BinaryIO, size: int) -> Iterator[Member]:
    directory = _directory(file, size)
    if directory is None:
        yield from _one_by_one(file, size)
        return
    at, end, shift = directory
    while at < end:
        file.seek(at)
        fields = file.read(_ENTRY.size)
        if len(fields) < _ENTRY.size or not fields.startswith(ENTRY):
            raise MediaError("damaged: its directory breaks off; what stands before that can be read")
        _, made, _, flags, method, time, date, crc, packed, full, name, extra, note, *_, mode, place = (
            _ENTRY.unpack(fields)
        )
        at += _ENTRY.size + name + extra + note
        raw, more = file.read(name), _extra(file.read(extra))
        full, packed, place = _large(more, full, packed, place)
        if not raw.endswith(b"/") and not (made >> 8 == UNIX and mode >> 16 & KIND == LINK):
            reason, mtime = _reason(flags, method, full, packed, size), _mtime(date, time, more)
            yield Member(_name(raw, flags), place + shift, full, mtime, packed, method, crc, reason)


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int] | None:
    """Return where the directory begins and ends, and how far all is moved by what stands before the zip."""
    first = max(0, size - BEHIND)
    file.seek(first)
    tail = file.read(BEHIND)
    at = len(tail)
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:  # a comment may hold this too
        fields = tail[at : at + _END.size]
        if len(fields) == _END.size:
            end, length, place = _large_end(file, first + at, *_END.unpack(fields)[5:7])
            begin = end - length
            file.seek(max(0, begin))
            if begin >= 0 and (not length or file.read(4) == ENTRY):
                return begin, end, begin - place
    return None


def _large_end(file: BinaryIO, end: int, length: int, place: int) -> tuple[int, int, int]:
    """Return the directory's end, length and place, which a large zip says elsewhere."""
    file.seek(max(0, end - _PLACE64.size))
    where = file.read(_PLACE64.size)
    if len(where) == _PLACE64.size and where.startswith(b"PK\6\7"):
        for at in (_PLACE64.unpack(where)[2], end - _PLACE64.size - _END64.size):
            if 0 <= at < end:
                file.seek(at)
                fields = file.read(_END64.size)
                if len(fields) == _END64.size and fields.startswith(b"PK\6\6"):
                    return at, *_END64.unpack(fields)[-2:]
    return end, length, place


def _one_by_one(file: BinaryIO, size: int) -> Iterator[Member]:
    """Yield the files of a zip that has lost its directory, as one whose download broke off."""
    at = 0
    while True:
        file.seek(at)
        fields = file.read(_FILE.size)
        if len(fields) < _FILE.size or not fields.startswith(FILE):
            break
        _, _, flags, method, time, date, crc, packed, full, name, extra = _FILE.unpack(fields)
        raw, more = file.read(name), _extra(file.read(extra))
        full, packed, _ = _large(more, full, packed, 0)
        start = at + _FILE.size + name + extra
        checked: int | None = crc
        if flags & SIZES_BEHIND and not packed:
            measured = None if flags & LOCKED or method != DEFLATED else _measure(file, start, size)
            if measured is None:
                break
            (packed, full), checked = measured, None
        if not raw.endswith(b"/"):
            reason, mtime = _reason(flags, method, full, packed, size), _mtime(date, time, more)
            yield Member(_name(raw, flags), at, full, mtime, packed, method, checked, reason)
        file.seek(min(start + packed, size))
        behind = file.read(28).find(FILE)  # behind sizes, if these stand there
        if behind < 0:
            break
        at = start + packed + behind
    if not at and not fields.startswith(FILE):
        file.seek(0)
        raise MediaError(f"not an archive: it begins with {file.read(8)!r}")
    raise MediaError("damaged: it breaks off, its directory is missing; what is before that can be read")


def _measure(file: BinaryIO, start: int, size: int) -> tuple[int, int] | None:
    """Return how long a deflated file is, packed and unpacked; None where it breaks off."""
    file.seek(start)
    unpacking = Unpacking(file.read, deflate, min(LARGEST, allowed(size)), lone=True)
    try:
        while unpacking.read(CHUNK):
            pass
    except MediaError:
        return None
    return file.tell() - start - unpacking.unused, unpacking.position


def _bounded(file: BinaryIO, left: int) -> Callable[[int], bytes]:
    """Return what reads a file on, no more than so many bytes."""

    def read(count: int) -> bytes:
        nonlocal left
        data = file.read(min(count, left))
        left -= len(data)
        return data

    return read


def _extra(data: bytes) -> dict[int, bytes]:
    """Return the extra fields by their number."""
    fields, at = dict[int, bytes](), 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at + 2 : at + 4], "little")
        fields[int.from_bytes(data[at : at + 2], "little")] = data[at + 4 : at + 4 + length]
        at += 4 + length
    return fields


def _large(more: dict[int, bytes], *numbers: int) -> tuple[int, int, int]:
    """Return sizes and place; those too large for 32 bits stand in a field of their own, in order."""
    field, at, found = more.get(LARGE, b""), 0, list[int]()
    for number in numbers:
        if number == 0xFFFFFFFF and at + 8 <= len(field):
            number = int.from_bytes(field[at : at + 8], "little")
            at += 8
        found.append(number)
    full, packed, place = found
    return full, packed, place


def _name(raw: bytes, flags: int) -> bytes:
    """Return a name in UTF-8: said to be so, so by chance, or in the code page of the first PCs."""
    if flags & UTF8:
        return raw
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437").encode()
    return raw


def _mtime(date: int, time: int, more: dict[int, bytes]) -> float:
    """Return seconds since 1970, 0 where there is no such day or only the first there is."""
    times = more.get(TIMES, b"")
    if len(times) >= 5 and times[0] & 1:
        return max(0, int.from_bytes(times[1:5], "little", signed=True))
    if date <= 0x21:  # 1980-01-01
        return 0
    try:
        day = 1980 + (date >> 9), date >> 5 & 15, date & 31
        return datetime(*day, time >> 11, time >> 5 & 63, (time & 31) * 2).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0


def _reason(flags: int, method: int, full: int, packed: int, size: int) -> str | None:
    """Say why a file of a zip of this size cannot be opened, None if it can."""
    if flags & LOCKED:
        return ENCRYPTED
    if method not in (STORED, DEFLATED, BZIP2, LZMA):
        return f"compressed by {METHODS.get(method, f'method {method}')}, which clew does not read"
    if method != STORED and full > LARGEST:
        return TOO_LARGE
    return "damaged: no such size" if method == STORED and (full != packed or full > size) else None
