"""Read zip archives with zipfile: the directory within a limit, stored files without a copy."""

import io
import os
import struct
from bz2 import BZ2File
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from stat import S_ISLNK
from typing import BinaryIO, cast
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from retrieval.errors import MediaError
from retrieval.media.archives.decompress import (
    CHUNK_BYTES,
    ErrorTranslator,
    FileWindow,
    read_to_file,
    too_large_reason,
)
from retrieval.media.archives.member import Member
from retrieval.media.limits import DecodeLimits

COMPRESSION_NAMES = {6: "Implode", 9: "Deflate64", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
ENCRYPTED_FLAGS, UTF8_FLAG = 1 | 1 << 6, 1 << 11  # general purpose bits of APPNOTE 4.4.4
DIRECTORY_SIGNATURE, DIRECTORY_ENTRY_BYTES = b"PK\1\2", 46
ZIP64_EXTRA, UNICODE_PATH_EXTRA = 0x0001, 0x7075  # ids of extra fields
MAX_EXTRACT_VERSION = 63  # that zipfile accepts
NO_DIRECTORY_REASON = "damaged: no readable directory; its download may be incomplete"
ENCRYPTED_REASON = "encrypted"


class _LimitedFile(io.FileIO):
    """A zip on disk that limits how much zipfile reads at a time; it closes itself when it is unused."""

    repairs_directory = False  # of the next reads

    def __init__(self, path: bytes, max_directory_bytes: int) -> None:
        super().__init__(path)
        self._max_directory_bytes = max_directory_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._max_directory_bytes:
            raise MediaError(
                f"a directory of {size:,} bytes, more than the limit of {self._max_directory_bytes:,}"
            )
        data = super().read(size) or b""
        is_directory = self.repairs_directory and data.startswith(DIRECTORY_SIGNATURE)
        return repair_directory(data) if is_directory else data

    def __del__(self) -> None:
        self.close()


def open_zip(path: bytes, limits: DecodeLimits) -> ZipFile:
    """Read the directory of a zip; raises OSError and MediaError."""
    file = _LimitedFile(path, limits.max_directory_bytes)
    start = file.read(8)
    try:
        with ErrorTranslator():
            return _read_directory(file)
    except MediaError as error:
        if error.__cause__ is None:
            raise
        if isinstance(error.__cause__.__context__, OSError):  # zipfile reports it as damage
            raise error.__cause__.__context__ from None
        raise MediaError(
            NO_DIRECTORY_REASON if start.startswith(b"PK") else f"not an archive: it begins with {start!r}"
        ) from error


def _read_directory(file: _LimitedFile) -> ZipFile:
    """Return an open zip. If zipfile rejects its directory for one entry, read that entry after a repair."""
    try:
        return ZipFile(cast(BinaryIO, file))
    except (UnicodeDecodeError, BadZipFile, NotImplementedError):
        file.repairs_directory = True
        try:
            return ZipFile(cast(BinaryIO, file))
        finally:
            file.repairs_directory = False


def repair_directory(directory: bytes) -> bytes:
    """Return a directory of a zip without the errors for which zipfile rejects all of its entries.

    A name that is not UTF-8 loses the flag of UTF-8, invalid extra fields are cleared, and unknown versions
    are replaced. Sizes and offsets do not change.
    """
    repaired, at = bytearray(directory), 0
    while directory.startswith(DIRECTORY_SIGNATURE, at) and at + DIRECTORY_ENTRY_BYTES <= len(directory):
        version, flags = struct.unpack_from("<BxH", directory, at + 6)
        name_length, extra_length, comment_length = struct.unpack_from("<3H", directory, at + 28)
        name_start = at + DIRECTORY_ENTRY_BYTES
        extra_start = name_start + name_length
        repaired[at + 6] = min(version, MAX_EXTRACT_VERSION)
        try:
            directory[name_start:extra_start].decode()
        except UnicodeDecodeError:
            struct.pack_into("<H", repaired, at + 8, flags & ~UTF8_FLAG)
        extra = directory[extra_start : extra_start + extra_length]
        if not _is_valid_extra(extra, directory[at + 20 : at + 28] + directory[at + 42 : at + 46]):
            cleared = struct.pack("<HH", 0, extra_length - 4) if extra_length >= 4 else b""
            repaired[extra_start : extra_start + extra_length] = cleared.ljust(extra_length, b"\0")
        at = extra_start + extra_length + comment_length
    return bytes(repaired)


def _is_valid_extra(extra: bytes, sizes: bytes) -> bool:
    """Return True if zipfile accepts the extra fields of an entry, given its sizes and offset of 32 bits."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        required = 8 * sum(sizes[at : at + 4] == b"\xff" * 4 for at in (0, 4, 8))
        if (
            4 + length > len(extra)
            or (kind == ZIP64_EXTRA and length < required)
            or kind == UNICODE_PATH_EXTRA
        ):
            return False
        extra = extra[4 + length :]
    return True


def list_members(archive: ZipFile, archive_size: int, limits: DecodeLimits) -> Iterator[Member]:
    """Yield the regular files of a zip; raises MediaError at the limit of their total size."""
    max_total, total = limits.max_unpacked_bytes(archive_size), 0
    for info in archive.infolist():
        if info.orig_filename.endswith("/") or S_ISLNK(info.external_attr >> 16):
            continue
        reason = _unreadable_reason(info, archive_size, limits)
        total += 0 if reason else info.file_size  # of stored files too: entries may overlap
        if total > max_total:
            raise MediaError(f"it unpacks to more than the limit of {max_total:,} bytes; the rest is skipped")
        yield Member(
            _member_name(info),
            info.header_offset,
            info.file_size,
            _mtime(info),
            reason,
            info,
        )


def open_zip_member(archive: ZipFile, info: ZipInfo, limits: DecodeLimits) -> BinaryIO:
    """Open a file of a zip. A stored file is read in place, after a check of its checksum."""
    with ErrorTranslator(), archive.open(info) as packed:
        if info.compress_type == ZIP_DEFLATED:
            return read_to_file(packed.read, info.file_size, limits)
        if info.compress_type == ZIP_STORED:
            while packed.read(CHUNK_BYTES):  # checks the checksum
                pass
    file = open(cast(str, archive.filename), "rb")  # noqa: SIM115  closed by the window
    lengths = os.pread(file.fileno(), 4, info.header_offset + 26)  # of the name and of the extra field
    start = info.header_offset + 30 + sum(struct.unpack("<2H", lengths.ljust(4, b"\0")))
    window = io.BufferedReader(FileWindow(file, start, info.compress_size), CHUNK_BYTES)
    if info.compress_type == ZIP_STORED:
        return window
    with ErrorTranslator(), window:  # zipfile decompresses a chunk of bzip2 without a limit
        return read_to_file(BZ2File(window).read, info.file_size, limits)


def _member_name(info: ZipInfo) -> bytes:
    """Return a name in UTF-8; names without the flag are UTF-8 if they are valid, else code page 437."""
    name = info.orig_filename
    if not info.flag_bits & UTF8_FLAG:
        with suppress(UnicodeDecodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.encode()


def _mtime(info: ZipInfo) -> float:
    """Return seconds since 1970; 0 for invalid dates and for 1980-01-01, which stands for no date."""
    extra = info.extra
    while len(extra) >= 9 and not extra.startswith(b"UT"):
        extra = extra[4 + int.from_bytes(extra[2:4], "little") :]
    if len(extra) >= 9 and extra[4] & 1:
        return max(0, int.from_bytes(extra[5:9], "little", signed=True))
    try:
        return 0 if info.date_time[:3] <= (1980, 1, 1) else datetime(*info.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0


def _unreadable_reason(info: ZipInfo, archive_size: int, limits: DecodeLimits) -> str | None:
    """Return why a file of a zip cannot be opened, or None."""
    method, full = info.compress_type, info.file_size
    if info.flag_bits & ENCRYPTED_FLAGS:
        return ENCRYPTED_REASON
    if method not in (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2):
        return f"compressed by {COMPRESSION_NAMES.get(method, f'method {method}')}, which clew does not read"
    if not 0 <= info.header_offset < archive_size:
        return "damaged: its offset is outside the archive"
    if method == ZIP_STORED:
        return None if full == info.compress_size <= archive_size else "damaged: invalid size"
    return too_large_reason(limits) if full > limits.max_member_bytes else None
