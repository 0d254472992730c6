"""Decompress within limits, and read a part of a file as a file."""

import io
import os
import zlib
from bz2 import BZ2File
from collections.abc import Callable
from gzip import GzipFile
from lzma import FORMAT_XZ, LZMADecompressor, LZMAError
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, cast
from zipfile import BadZipFile

from retrieval.errors import MediaError
from retrieval.media.limits import DecodeLimits

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 16
DECOMPRESSION_ERRORS = (BadZipFile, LZMAError, NotImplementedError, OSError, ValueError, zlib.error)
TRUNCATED_MEMBER_REASON = "damaged: truncated"


class ErrorTranslator:
    """A context that translates errors of decompression to MediaError; I/O errors pass unchanged.

    It is not a generator, because a traceback would keep the generator and its open files alive.
    """

    def __enter__(self) -> None:
        """Enter the context."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate an error."""
        if isinstance(error, EOFError):
            raise MediaError(TRUNCATED_MEMBER_REASON) from error
        # gzip and bzip2 raise OSError without errno for damaged data.
        if isinstance(error, DECOMPRESSION_ERRORS) and getattr(error, "errno", None) is None:
            raise MediaError(f"damaged: {'wrong checksum' if 'CRC' in str(error) else error}") from error


def open_decompressed(file: BinaryIO, limits: DecodeLimits) -> BinaryIO | None:
    """Return a file that decompresses gzip, bzip2 or xz, as detected from the first bytes; else None."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return cast(BinaryIO, BZ2File(file))
    return io.BufferedReader(_XzFile(file, limits.max_xz_memory_bytes)) if start == b"\xfd7zXZ\0" else None


class _ReadableStream(io.RawIOBase):
    def readable(self) -> bool:
        return True


class _XzFile(_ReadableStream):
    """An lzma.LZMAFile with a limit on memory: a few bytes of xz can request gigabytes."""

    def __init__(self, file: BinaryIO, max_memory_bytes: int) -> None:
        self._file, self._max_memory_bytes = file, max_memory_bytes
        self._decompressor = self._create_decompressor()

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            data = b""
            if self._decompressor.eof:
                data = self._decompressor.unused_data.lstrip(b"\0") or self._file.read(CHUNK_BYTES).lstrip(
                    b"\0"
                )
                if not data:
                    return 0
                self._decompressor = self._create_decompressor()
            elif self._decompressor.needs_input and not (data := self._file.read(CHUNK_BYTES)):
                raise EOFError
            if part := self._decompressor.decompress(data, len(view)):
                view[: len(part)] = part
                return len(part)

    def _create_decompressor(self) -> LZMADecompressor:
        return LZMADecompressor(FORMAT_XZ, memlimit=self._max_memory_bytes)


class FileWindow(_ReadableStream):
    """A part of an open file; closing it closes the file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, size, 0

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to an offset in the window."""
        self._position = max(
            0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence, self._size)
        )
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read into a buffer."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        data = os.pread(self._file.fileno(), count, self._start + self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the window and its file."""
        if not self.closed:
            self._file.close()
        super().close()


def read_to_file(read: Callable[[int], bytes], size: int, limits: DecodeLimits) -> BinaryIO:
    """Return the next `size` bytes as a file in memory or on disk; raises MediaError if there are fewer."""
    in_memory = size <= limits.member_memory_bytes
    file = cast(BinaryIO, io.BytesIO() if in_memory else TemporaryFile(prefix="clew-"))  # noqa: SIM115
    try:
        while size and (part := read(min(size, CHUNK_BYTES))):
            size -= file.write(part)
        if size:
            raise MediaError(TRUNCATED_MEMBER_REASON)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def too_large_reason(limits: DecodeLimits) -> str:
    """Return why a compressed file of more than `max_member_bytes` cannot be opened."""
    return f"more than the limit of {limits.max_member_bytes:,} bytes for a compressed file"
