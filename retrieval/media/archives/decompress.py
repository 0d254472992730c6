"""Unpack within limits, and read a part of a file as a file of its own."""

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

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES = 1 << 16
MAX_IN_MEMORY_BYTES = (
    8_000_000  # bytes of a file that are unpacked into memory, those of a larger one to disk
)
MAX_MEMBER_BYTES = 1_000_000_000  # bytes that a packed file may unpack to
ALWAYS_ALLOWED_BYTES, MAX_COMPRESSION_RATIO = (
    500_000_000,
    100,
)  # bytes an archive may unpack to; beyond that so many times its size
MAX_XZ_MEMORY_BYTES = 256_000_000  # bytes of memory that xz may take
TOO_LARGE_REASON = f"more than the limit of {MAX_MEMBER_BYTES:,} bytes for what is packed"
DECOMPRESSION_ERRORS = (BadZipFile, LZMAError, NotImplementedError, OSError, ValueError, zlib.error)
TRUNCATED_MEMBER_REASON = "damaged: the archive breaks off in it"


class ErrorTranslator:
    """Turn what the standard library raises of damaged bytes into MediaError; a disk's OSError passes.

    No generator, as one would hold what is open for a while where it raises.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise it in our words."""
        if isinstance(error, EOFError):
            raise MediaError(TRUNCATED_MEMBER_REASON) from error
        if (
            isinstance(error, DECOMPRESSION_ERRORS) and getattr(error, "errno", None) is None
        ):  # gzip and bzip2 give none
            said = "its checksum is wrong" if "CRC" in str(error) else error
            raise MediaError(f"damaged: {said}") from error


def open_decompressed(file: BinaryIO) -> BinaryIO | None:
    """Return what an open file unpacks to, by how it begins; None where it is not packed."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return cast(BinaryIO, BZ2File(file))
    return io.BufferedReader(_XzFile(file)) if start == b"\xfd7zXZ\0" else None


class _ReadableStream(io.RawIOBase):
    def readable(self) -> bool:
        return True


class _XzFile(_ReadableStream):
    """What lzma.LZMAFile is, whose memory has no limit: a few bytes can ask for gigabytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at, self._decompressor = file, 0, _xz_decompressor()

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        room = memoryview(buffer).cast("B")
        while True:
            data = b""
            if self._decompressor.eof:
                data = self._decompressor.unused_data.lstrip(b"\0") or self._file.read(CHUNK_BYTES).lstrip(
                    b"\0"
                )
                if not data:
                    return 0
                self._decompressor = _xz_decompressor()
            elif self._decompressor.needs_input and not (data := self._file.read(CHUNK_BYTES)):
                raise EOFError
            if part := self._decompressor.decompress(data, len(room)):
                room[: len(part)] = part
                return len(part)


def _xz_decompressor() -> LZMADecompressor:
    return LZMADecompressor(FORMAT_XZ, memlimit=MAX_XZ_MEMORY_BYTES)


class FileWindow(_ReadableStream):
    """A part of an open file as a file of its own, which closes the file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, size, 0

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place in the window."""
        self._position = max(
            0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence, self._size)
        )
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read what fits."""
        room = memoryview(buffer).cast("B")
        wanted = max(0, min(len(room), self._size - self._position))
        data = os.pread(self._file.fileno(), wanted, self._start + self._position)
        room[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


def read_to_file(read: Callable[[int], bytes], size: int) -> BinaryIO:
    """Return the next `size` bytes as a file of their own; raises MediaError where there are fewer."""
    file = cast(BinaryIO, io.BytesIO() if size <= MAX_IN_MEMORY_BYTES else TemporaryFile(prefix="clew-"))  # noqa: SIM115
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


def max_unpacked_size(packed_size: int) -> int:
    """Return how many bytes an archive of this size may unpack to."""
    return max(ALWAYS_ALLOWED_BYTES, MAX_COMPRESSION_RATIO * packed_size)
