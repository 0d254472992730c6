"""Read one file: hash it, and decode it only if its content is new."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from errno import EBUSY
from functools import partial
from importlib import import_module
from io import BufferedReader, UnsupportedOperation
from threading import Event
from time import sleep, time_ns
from typing import BinaryIO, cast

from indexer.decode.base import DecodedFile
from indexer.decode.context import DecodeContext, Decoder
from indexer.decode.metadata.local_time import has_time, time_in_name, to_local_time
from indexer.decode.registry import TEXT_DECODERS, content_decoder, file_decoder
from indexer.decode.signatures import DECODER_NOUNS, HEAD_BYTES, fallback_decoders, mismatch_reason
from indexer.decode.text.letter_encodings import language_in_name
from indexer.types import FileEntry, file_times
from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.archives.archive import Opener, open_path
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.regular_file import open_regular_file
from retrieval.types import MediaProperties

HASH_BUFFER_BYTES = 1 << 20
CLOCK_TICK_NANOSECONDS = 20_000_000  # Linux before 6.13 stores the times of files in steps of up to 10 ms
MAX_TICK_WAITS = 3


def _late(module: str) -> Decoder:
    """Return the decoder of a module, which is imported on first use: a rescan needs none."""

    def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
        late: Decoder = import_module(f"indexer.decode.{module}").decode
        return late(file, suffix, context)

    return decode


DECODERS: dict[str, Decoder] = {
    "picture": _late("images.decoder"),
    "text": _late("text.plain"),
    "caption": _late("text.sidecar_captions"),
    "sound": _late("audio.decoder"),
    "document": _late("documents.pdf"),
    "web": _late("documents.html"),
    "office": _late("documents.office"),
    "message": _late("documents.message"),
    "table": _late("text.caption_table"),
    "video": _late("video.decoder"),
    "subtitles": _late("text.subtitles"),
}


@dataclass(frozen=True, slots=True)
class ReadResult:
    """The result of reading a file: its segments, or why it failed.

    There are no segments if its content is known, and no properties except a time that is in its name.
    """

    entry: FileEntry
    digest: bytes = b""  # SHA-256 of the content
    decoded: DecodedFile = field(default_factory=DecodedFile)
    error: str | None = None
    transient: bool = False  # the next run tries again, and the library keeps what it has of the file
    missing_extra: str | None = None  # the error of an optional dependency that is not installed

    @property
    def content_decoder(self) -> str:
        """Return the decoder of its content."""
        return content_decoder(self.entry.decoder, self.entry.path)

    @property
    def modified_time(self) -> str:
        """Return the modification time as ISO 8601, local time."""
        try:
            return datetime.fromtimestamp(self.entry.mtime / 1e9).isoformat(timespec="seconds")
        except (ValueError, OverflowError, OSError):  # outside the years of a calendar
            return "1970-01-01T00:00:00"


def read_file(
    root: bytes,
    entry: FileEntry,
    context: DecodeContext,
    is_known: Callable[[bytes, str], bool],
    opener: Opener | None = None,
) -> ReadResult | None:
    """Read a file, and return any failure as part of the result; None if the file no longer exists.

    `opener` opens a member of an archive. Other files are read again if they change meanwhile.
    """
    try:
        if opener is not None:
            with cast(BufferedReader, opener()) as file:
                return _read_open_file(file, entry, context, is_known)
        for _ in range(3):
            with open_regular_file(os.path.join(root, entry.path)) as file:
                before = _status_before_tick(file)
                mtime, ctime = file_times(before)
                entry = entry._replace(size=before.st_size, mtime=mtime, ctime=ctime)
                result = _read_open_file(file, entry, context, is_known)
                after = os.fstat(file.fileno())
            if _size_and_times(before) == _size_and_times(after):
                return result
        return ReadResult(entry, error="is being written", transient=True)
    except FileNotFoundError:
        return None
    except MediaError as error:
        return ReadResult(entry, error=str(error))
    except OSError as error:
        return ReadResult(entry, error=error.strerror or str(error), transient=True)


def _read_open_file(
    file: BufferedReader, entry: FileEntry, context: DecodeContext, is_known: Callable[[bytes, str], bool]
) -> ReadResult:
    """Hash an open file, and decode it if its content is new."""
    digest = _hash(file, context.stop)
    if is_known(digest, content_decoder(entry.decoder, entry.path)):
        return ReadResult(entry, digest, _read_time_in_name(file, entry))
    file.seek(0)
    try:
        decoded = _decode_or_sniff(entry.decoder, file, entry.path, context)
        return ReadResult(entry, digest, localize(decoded, entry.path, entry.mtime / 1e9))
    except MediaError as error:
        return ReadResult(entry, error=str(error))
    except ExtraMissing as error:
        return ReadResult(entry, error=str(error), transient=True, missing_extra=str(error))
    except CancelledError:
        raise
    except Exception as error:  # a bug of a decoder must not stop the run
        return ReadResult(entry, error=f"unexpected {type(error).__name__}: {error}")


def _read_time_in_name(file: BinaryIO, entry: FileEntry) -> DecodedFile:
    """Return the local capture time of a known video, if its name gives the zone."""
    name = os.fsdecode(os.path.basename(entry.path))
    if entry.decoder == "video" and has_time(name):
        from indexer.decode.video.metadata import read_metadata  # heavy

        file.seek(0)
        with suppress(MediaError):
            decoded = read_metadata(file)
            local = time_in_name(decoded.properties, name) if decoded.is_taken_in_utc else None
            if local is not None:
                return DecodedFile(properties=MediaProperties(taken=local.taken, zone=local.zone))
    return DecodedFile()


def _decode_or_sniff(decoder_name: str, file: BinaryIO, path: bytes, context: DecodeContext) -> DecodedFile:
    """Decode a file with the decoder of its suffix, or else with that of its first bytes."""
    suffix = _suffix(path)
    if decoder_name in TEXT_DECODERS:
        language = language_in_name(os.fsdecode(os.path.basename(path)))
        context = context if language is None else replace(context, language=language)
    try:
        return DECODERS[decoder_name](file, suffix, context)
    except MediaError as error:
        file.seek(0)
        head = file.read(HEAD_BYTES)
        for other in fallback_decoders(decoder_name, head):
            file.seek(0)
            try:
                decoded = DECODERS[other](file, suffix, context)
            except MediaError:
                continue
            if str(error).startswith("damaged"):
                return replace(decoded, note=f"{error}; it is read as {DECODER_NOUNS[other]}")
            return decoded
        reason = mismatch_reason(str(error), decoder_name, head)
        raise (error if reason == str(error) else MediaError(reason)) from None


def redecode(
    digest: bytes,
    decoder_name: str,
    path: bytes,
    context: DecodeContext,
    opener: Opener | None = None,
    scene_ranges: Sequence[tuple[float, float]] | None = None,
) -> DecodedFile | None:
    """Decode a file again by the decoder of its content; None if it is missing or its content has changed.

    The scenes of a video depend on the embedder; `scene_ranges`, in seconds, gives those that it has.
    """
    try:
        with open_unchanged(digest, path, opener, context.limits, context.stop) as file:
            if file is None:
                return None
            if scene_ranges is not None:
                from indexer.decode.video.decoder import embed_known_scenes

                return DecodedFile(embed_known_scenes(file, context, scene_ranges))
            decoded = _decode_or_sniff(file_decoder(decoder_name), file, path, context)
            return localize(decoded, path, modified_seconds(path))
    except CancelledError:
        raise
    except Exception:  # also a decoder that now rejects the file
        return None


@contextmanager
def open_unchanged(
    digest: bytes,
    path: bytes,
    opener: Opener | None = None,
    limits: DecodeLimits = DEFAULT_LIMITS,
    stop: Event | None = None,
) -> Iterator[BufferedReader | None]:
    """Open a file; yield None if its content has another digest.

    Raises OSError, also at the end if the file has changed meanwhile.
    """
    with cast(BufferedReader, (opener or partial(open_path, path, limits))()) as file:
        before = _size_and_times_before_tick(file)
        unchanged = _hash(file, stop) == digest
        file.seek(0)
        yield file if unchanged else None
        if unchanged and size_and_times(file) != before:
            raise OSError(EBUSY, "is being written")


def size_and_times(file: BinaryIO) -> tuple[int, int, int] | None:
    """Return the size and the times of the last changes of an open file; None if it is in memory."""
    try:
        return _size_and_times(os.fstat(file.fileno()))
    except (UnsupportedOperation, AttributeError):
        return None


def _size_and_times_before_tick(file: BinaryIO) -> tuple[int, int, int] | None:
    try:
        return _size_and_times(_status_before_tick(file))
    except (UnsupportedOperation, AttributeError):
        return None


def _status_before_tick(file: BinaryIO) -> os.stat_result:
    """Return the status of an open file, from which any later change differs.

    A file that was just changed could be changed again at the same time and size: wait for the next time.
    """
    for _ in range(MAX_TICK_WAITS):
        status = os.fstat(file.fileno())
        age = time_ns() - status.st_ctime_ns
        if not 0 <= age < CLOCK_TICK_NANOSECONDS:
            break
        sleep((CLOCK_TICK_NANOSECONDS - age) / 1e9)
    return status


def _size_and_times(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hash(file: BinaryIO, stop: Event | None) -> bytes:
    """Return the SHA-256 of a file; raises CancelledError when `stop` is set."""
    sha256, buffer = hashlib.sha256(), bytearray(HASH_BUFFER_BYTES)
    view = memoryview(buffer)
    while count := cast(BufferedReader, file).readinto(buffer):
        if stop is not None and stop.is_set():
            raise CancelledError
        sha256.update(view[:count])
    return sha256.digest()


def localize(decoded: DecodedFile, path: bytes, modified: float | None) -> DecodedFile:
    """Return a file whose capture time is local; `modified` is its modification time in seconds."""
    if not decoded.is_taken_in_utc:
        return decoded
    name = os.fsdecode(os.path.basename(path))
    return replace(decoded, properties=to_local_time(decoded.properties, name, modified))


def modified_seconds(path: bytes) -> float | None:
    """Return the modification time of a file; None for a file in an archive."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def _suffix(path: bytes) -> str:
    return os.path.splitext(path)[1].lower().decode("ascii", "replace")
