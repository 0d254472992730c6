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

CHUNK = 1 << 16
IN_MEMORY = 8_000_000  # bytes of a file that are unpacked into memory, those of a larger one to disk
LARGEST = 1_000_000_000  # bytes that a packed file may unpack to
FREE, RATIO = 500_000_000, 100  # bytes an archive may unpack to; beyond that so many times its size
DICTIONARY = 256_000_000  # bytes of memory that xz may take
TOO_LARGE = f"more than the limit of {LARGEST:,} bytes for what is packed"
WRONG = (BadZipFile, LZMAError, NotImplementedError, OSError, ValueError, zlib.error)
BREAKS_OFF = "damaged: the archive breaks off in it"


class Damaged:
    """Turn what the standard library raises of damaged bytes into MediaError; a disk's OSError passes.

    No generator, as one would hold what is open for a while where it raises.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise it in our words."""
        if isinstance(error, EOFError):
            raise MediaError(BREAKS_OFF) from error
        if isinstance(error, WRONG) and getattr(error, "errno", None) is None:  # gzip and bzip2 give none
            said = "its checksum is wrong" if "CRC" in str(error) else error
            raise MediaError(f"damaged: {said}") from error


def unpacked(file: BinaryIO) -> BinaryIO | None:
    """Return what an open file unpacks to, by how it begins; None where it is not packed."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, GzipFile(fileobj=file))
    if start.startswith(b"BZh"):
        return cast(BinaryIO, BZ2File(file))
    return io.BufferedReader(_Xz(file)) if start == b"\xfd7zXZ\0" else None


class _Readable(io.RawIOBase):
    def readable(self) -> bool:
        return True


class _Xz(_Readable):
    """What lzma.LZMAFile is, whose memory has no limit: a few bytes can ask for gigabytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at, self._stream = file, 0, _xz()

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        room = memoryview(buffer).cast("B")
        while True:
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data.lstrip(b"\0") or self._file.read(CHUNK).lstrip(b"\0")
                if not data:
                    return 0
                self._stream = _xz()
            elif self._stream.needs_input and not (data := self._file.read(CHUNK)):
                raise EOFError
            if part := self._stream.decompress(data, len(room)):
                room[: len(part)] = part
                return len(part)


def _xz() -> LZMADecompressor:
    return LZMADecompressor(FORMAT_XZ, memlimit=DICTIONARY)


class Window(_Readable):
    """A part of an open file as a file of its own, which closes the file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place in the window."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence, self._size))
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read what fits."""
        room = memoryview(buffer).cast("B")
        wanted = max(0, min(len(room), self._size - self._at))
        data = os.pread(self._file.fileno(), wanted, self._start + self._at)
        room[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()


def spool(read: Callable[[int], bytes], size: int) -> BinaryIO:
    """Return the next `size` bytes as a file of their own; raises MediaError where there are fewer."""
    file = cast(BinaryIO, io.BytesIO() if size <= IN_MEMORY else TemporaryFile(prefix="clew-"))  # noqa: SIM115
    try:
        while size and (part := read(min(size, CHUNK))):
            size -= file.write(part)
        if size:
            raise MediaError(BREAKS_OFF)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def allowed(packed: int) -> int:
    """Return how many bytes an archive of this size may unpack to."""
    return max(FREE, RATIO * packed)
