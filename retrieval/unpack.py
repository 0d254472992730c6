"""Unpack what is compressed: forward, a little at a time, within limits, wherever it is damaged."""

import io
import os
import zlib
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from retrieval.errors import MediaError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 1 << 16
IN_MEMORY = (
    8_000_000  # bytes of a file that are unpacked into memory; what is larger goes to a temporary file
)
LARGEST = 1_000_000_000  # bytes that a packed file may unpack to
FREE, RATIO = (
    500_000_000,
    100,
)  # an archive may unpack to so many bytes, beyond that to so many times its size
DICTIONARY = 256_000_000  # bytes of memory that xz may take
TOO_LARGE = f"more than the limit of {LARGEST:,} bytes for what is packed"
BREAKS_OFF = "damaged: the archive breaks off in it"


class Decompressor(Protocol):
    """What bz2 and lzma offer, and zlib through Inflate."""

    @property
    def eof(self) -> bool:
        """Say whether the stream has come to its end."""
        ...

    @property
    def needs_input(self) -> bool:
        """Say whether there is nothing to give without more input."""
        ...

    @property
    def unused_data(self) -> bytes:
        """Return what was fed from behind the end."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most so many bytes more."""
        ...


class Inflate:
    """zlib as the others are; `bits` is 31 for gzip and -15 for a bare stream."""

    def __init__(self, bits: int) -> None:
        self._zlib = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        """Say whether the stream has come to its end."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """Say whether all that was fed is used."""
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """Return what was fed from behind the end."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most so many bytes more."""
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def gzip() -> Decompressor:
    """Begin a stream of gzip."""
    return Inflate(31)


def deflate() -> Decompressor:
    """Begin a stream of a zip."""
    return Inflate(-15)


def bzip2() -> Decompressor:
    """Begin a stream of bzip2."""
    from bz2 import BZ2Decompressor

    return BZ2Decompressor()


def xz() -> Decompressor:
    """Begin a stream of xz."""
    from lzma import FORMAT_XZ, LZMADecompressor

    return LZMADecompressor(FORMAT_XZ, memlimit=DICTIONARY)


def lzma_of_zip(header: bytes) -> Decompressor:
    """Begin a stream of a zip's LZMA, behind its header: version, length, and five bytes of properties."""
    from lzma import FILTER_LZMA1, FORMAT_RAW, LZMADecompressor

    how, size = header[4], int.from_bytes(header[5:9], "little")
    if header[2:4] != b"\5\0" or how >= 225 or how % 9 + how // 9 % 5 > 4 or size > DICTIONARY:
        raise MediaError("damaged: its LZMA header is none")
    bits = {"lc": how % 9, "lp": how // 9 % 5, "pb": how // 45}
    return LZMADecompressor(FORMAT_RAW, filters=[{"id": FILTER_LZMA1, "dict_size": size, **bits}])


BEGINNINGS: dict[bytes, Callable[[], Decompressor]] = {b"\x1f\x8b": gzip, b"BZh": bzip2, b"\xfd7zXZ\0": xz}


class Unpacking:
    """A packed stream, forward only; raises MediaError where it is damaged or passes `most` bytes.

    Streams that follow each other are one, as parallel compressors write them; a `lone` one is all.
    """

    def __init__(
        self,
        feed: Callable[[int], bytes],
        begin: Callable[[], Decompressor],
        most: int,
        *,
        lone: bool = False,
    ) -> None:
        self._feed, self._begin, self._most, self._lone = feed, begin, most, lone
        self._stream, self._rest = begin(), b""
        self.position = 0

    @property
    def unused(self) -> int:
        """Count the bytes that were fed from behind the end."""
        return len(self._stream.unused_data)

    def read(self, count: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        parts = []
        while count > 0 and (part := self._some(min(count, CHUNK))):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def skip_to(self, position: int) -> bool:
        """Go forward; returns False where the stream ends before."""
        while self.position < position and self._some(min(position - self.position, CHUNK)):
            pass
        return self.position == position

    def _some(self, count: int) -> bytes:
        from lzma import LZMAError

        try:
            part = self._decompress(count)
        except (zlib.error, LZMAError, ValueError, EOFError) as error:
            raise MediaError(f"damaged: {error}") from error
        except OSError as error:
            if error.errno is not None:  # the disk's; bzip2 has none for what is damaged
                raise
            raise MediaError(f"damaged: {error}") from error
        self.position += len(part)
        if self.position > self._most:
            raise MediaError(f"it unpacks to more than the limit of {self._most:,} bytes")
        return part

    def _decompress(self, count: int) -> bytes:
        while True:
            if self._stream.eof and not self._next():
                return b""
            data, self._rest = self._rest, b""
            if not data and self._stream.needs_input:
                data = self._feed(CHUNK)
            part = self._stream.decompress(data, count)
            if part:
                return part
            if not data and not self._stream.eof:
                raise MediaError("damaged: it breaks off")

    def _next(self) -> bool:
        """Begin the next stream; what follows and is none is padding."""
        rest = self._stream.unused_data
        while not self._lone:
            rest = rest.lstrip(b"\0") or self._feed(CHUNK)
            if not rest:
                break
            if rest.startswith(tuple(BEGINNINGS)):
                self._stream, self._rest = self._begin(), rest
                return True
            if rest.strip(b"\0"):
                break
        return False


class Window(io.RawIOBase):
    """A part of an open file as a file of its own, which closes the file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place in the window."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence, self._size))
        return self._at

    def tell(self) -> int:
        """Return the place in the window."""
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


def spool(read: Callable[[int], bytes], size: int, crc: int | None = None) -> BinaryIO:
    """Return the next `size` bytes as a file of their own; raises MediaError as `check` does."""
    file = _new(size)
    try:
        check(read, size, crc, into=file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def check(
    read: Callable[[int], bytes], size: int, crc: int | None = None, into: BinaryIO | None = None
) -> None:
    """Read so many bytes; raises MediaError where there are fewer, or if `crc` is not their CRC-32."""
    left, found = size, 0
    while left:
        part = read(min(left, CHUNK))
        if not part:
            raise MediaError(BREAKS_OFF)
        if into is not None:
            into.write(part)
        found = found if crc is None else zlib.crc32(part, found)
        left -= len(part)
    if crc is not None and crc != found:
        raise MediaError("damaged: its checksum is wrong")


def allowed(packed: int) -> int:
    """Return how many bytes an archive of this size may unpack to."""
    return max(FREE, RATIO * packed)


def _new(size: int) -> BinaryIO:
    return io.BytesIO() if size <= IN_MEMORY else cast(BinaryIO, TemporaryFile(prefix="clew-"))
