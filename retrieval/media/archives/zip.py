"""Read a zip by the standard library's zipfile: its directory within a limit, its files where they are."""

import io
import os
import struct
from bz2 import BZ2File
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from stat import S_ISLNK
from typing import BinaryIO, cast
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from retrieval.errors import MediaError
from retrieval.media.archives.decompress import (
    CHUNK_BYTES,
    MAX_MEMBER_BYTES,
    TOO_LARGE_REASON,
    ErrorTranslator,
    FileWindow,
    max_unpacked_size,
    read_to_file,
)
from retrieval.media.archives.tar import ENCRYPTED_REASON, Member

MAX_DIRECTORY_BYTES = 50_000_000  # bytes of a zip's directory, which are some 400,000 files
COMPRESSION_NAMES = {6: "Implode", 9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
ENCRYPTED_FLAGS, UTF8_FLAG = 1 | 1 << 6, 1 << 11  # flags
NO_DIRECTORY_REASON = "damaged: it has no directory that can be read; perhaps its download broke off"


class _LimitedFile(io.FileIO):
    """A zip on disk, of which nothing is read without limit; closed when nobody has it any more."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise MediaError(
                f"its directory of {size:,} bytes is more than the limit of {MAX_DIRECTORY_BYTES:,}"
            )
        return super().read(size) or b""

    def __del__(self) -> None:
        self.close()


def open_zip(path: bytes) -> ZipFile:
    """Read the directory of a zip; raises OSError, or MediaError."""
    file = _LimitedFile(path)
    start = file.read(8)
    try:
        with ErrorTranslator():
            return ZipFile(cast(BinaryIO, file))
    except MediaError as error:
        if error.__cause__ is None:
            raise
        if isinstance(error.__cause__.__context__, OSError):  # which zipfile takes for damage
            raise error.__cause__.__context__ from None
        wrong = (
            NO_DIRECTORY_REASON if start.startswith(b"PK") else f"not an archive: it begins with {start!r}"
        )
        raise MediaError(wrong) from error


def list_members(archive: ZipFile, archive_size: int) -> Iterator[Member]:
    """Yield the regular files of a zip of this size; raises MediaError behind those that are too much."""
    most, total = max_unpacked_size(archive_size), 0
    for info in archive.infolist():
        if info.orig_filename.endswith("/") or S_ISLNK(info.external_attr >> 16):
            continue
        total += info.file_size  # of stored ones too: several may be the same bytes
        if total > most:
            raise MediaError(f"it unpacks to more than the limit of {most:,} bytes; the rest is left out")
        yield Member(
            _member_name(info),
            info.header_offset,
            info.file_size,
            _mtime(info),
            _unreadable_reason(info, archive_size),
            info,
        )


def open_zip_member(archive: ZipFile, info: ZipInfo) -> BinaryIO:
    """Return a file of a zip; one that is stored as it is in its place, once its checksum is right."""
    with ErrorTranslator(), archive.open(info) as packed:
        if info.compress_type == ZIP_DEFLATED:
            return read_to_file(packed.read, info.file_size)
        if info.compress_type == ZIP_STORED:
            while packed.read(CHUNK_BYTES):  # which tells whether its checksum is right
                pass
    file = open(cast(str, archive.filename), "rb")  # noqa: SIM115  the window closes it
    behind = os.pread(file.fileno(), 4, info.header_offset + 26)  # the lengths of what stands before it
    start = info.header_offset + 30 + sum(struct.unpack("<2H", behind.ljust(4, b"\0")))
    window = io.BufferedReader(FileWindow(file, start, info.compress_size), CHUNK_BYTES)
    if info.compress_type == ZIP_STORED:
        return window
    with ErrorTranslator(), window:  # zipfile would unpack all that a chunk of bzip2 holds, at once
        return read_to_file(BZ2File(window).read, info.file_size)


def _member_name(info: ZipInfo) -> bytes:
    """Return a name in UTF-8: said to be so, so by chance, or in the code page of the first PCs."""
    name = info.orig_filename
    if not info.flag_bits & UTF8_FLAG:
        with suppress(UnicodeDecodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.encode()


def _mtime(info: ZipInfo) -> float:
    """Return seconds since 1970, 0 where there is no such day or only the first there is."""
    extra = info.extra
    while len(extra) >= 9 and not extra.startswith(b"UT"):
        extra = extra[4 + int.from_bytes(extra[2:4], "little") :]
    if len(extra) >= 9 and extra[4] & 1:
        return max(0, int.from_bytes(extra[5:9], "little", signed=True))
    try:
        return 0 if info.date_time[:3] <= (1980, 1, 1) else datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0


def _unreadable_reason(info: ZipInfo, archive_size: int) -> str | None:
    """Say why a file of a zip of this size cannot be opened, None if it can."""
    method, full = info.compress_type, info.file_size
    if info.flag_bits & ENCRYPTED_FLAGS:
        return ENCRYPTED_REASON
    if method not in (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2):
        return f"compressed by {COMPRESSION_NAMES.get(method, f'method {method}')}, which clew does not read"
    if not 0 <= info.header_offset < archive_size:
        return "damaged: it is nowhere in the archive"
    if method == ZIP_STORED:
        return None if full == info.compress_size <= archive_size else "damaged: no such size"
    return TOO_LARGE_REASON if full > MAX_MEMBER_BYTES else None
