"""Read one file: hash it, and decode it only if its content is new."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from io import BufferedReader
from typing import BinaryIO, cast

from indexer.decode.audio import decoder as audio
from indexer.decode.base import DecodedFile
from indexer.decode.context import DecodeContext, Decoder
from indexer.decode.documents import html, office, pdf
from indexer.decode.images import decoder as images
from indexer.decode.signatures import DECODER_NOUNS, HEAD_BYTES, fallback_decoders, mismatch_reason
from indexer.decode.text import caption_table, captions, plain, subtitles
from indexer.decode.video import decoder as video
from indexer.types import FileEntry, mtime_nanoseconds
from retrieval.errors import ExtraMissing, MediaError
from retrieval.media.archives.archive import Opener, open_path

DECODERS: dict[str, Decoder] = {
    "picture": images.decode,
    "text": plain.decode,
    "caption": captions.decode,
    "sound": audio.decode,
    "document": pdf.decode,
    "web": html.decode,
    "office": office.decode,
    "table": caption_table.decode,
    "video": video.decode,
    "subtitles": subtitles.decode,
}


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A file that was read: what it holds, or that its content is known, or why it cannot be read.

    What fails for the moment (a disk that does not answer, an extra that is not installed, which `lacks`
    says) is tried again by the next run, and what was known of the file stays.
    """

    entry: FileEntry
    digest: bytes = b""
    known: bool = False
    decoded: DecodedFile = field(default_factory=DecodedFile)
    error: str | None = None
    transient: bool = False
    missing_extra: str | None = None

    @property
    def modified_time(self) -> str:
        """Return when the file was last written, ISO, local."""
        try:
            return datetime.fromtimestamp(self.entry.mtime / 1e9).isoformat(timespec="seconds")
        except (ValueError, OverflowError, OSError):  # a time no calendar has
            return "1970-01-01T00:00:00"


def read_file(
    root: bytes,
    entry: FileEntry,
    context: DecodeContext,
    is_known: Callable[[bytes, str], bool],
    opener: Opener | None = None,
) -> ReadResult | None:
    """Read a file; None if it has gone since the scan. A file that cannot be read is never fatal.

    `opener` opens one that is in an archive, which is as it was found: the archive is what may change.
    """
    try:
        if opener is not None:
            with cast(BufferedReader, opener()) as file:
                return _read_open_file(file, entry, context, is_known)
        for _ in range(3):
            with open(os.path.join(root, entry.path), "rb") as file:
                before = os.fstat(file.fileno())
                entry = entry._replace(size=before.st_size, mtime=mtime_nanoseconds(before))
                done = _read_open_file(file, entry, context, is_known)
                after = os.fstat(file.fileno())
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return done
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
    """Hash an open file, and decode it if its content is not known."""
    digest = hashlib.file_digest(file, "sha256").digest()
    if is_known(digest, entry.decoder):
        return ReadResult(entry, digest, known=True)
    file.seek(0)
    try:
        return ReadResult(
            entry, digest, decoded=_decode_or_sniff(entry.decoder, file, _suffix(entry.path), context)
        )
    except MediaError as error:
        return ReadResult(entry, error=str(error))
    except ExtraMissing as error:
        return ReadResult(entry, error=str(error), transient=True, missing_extra=str(error))
    except Exception as error:  # a decoder's own bug must not cost the person the other files
        return ReadResult(entry, error=f"unexpected {type(error).__name__}: {error}")


def _decode_or_sniff(decoder_name: str, file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Decode a file as what its suffix says, or else, where that cannot be, as what its first bytes say."""
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
    """Decode a content that was read before; None where the file is not there as it was.

    Of what was read as a video, whose segments follow from how a model sees it, those that begin and end at
    `spans`.
    """
    try:
        with open_unchanged(digest, path, opener) as file:
            if file is None:
                return None
            if scene_ranges is not None:
                return DecodedFile(video.embed_known_scenes(file, context, scene_ranges))
            return _decode_or_sniff(decoder_name, file, _suffix(path), context)
    except Exception:  # gone since, or a decoder that has changed its mind
        return None


@contextmanager
def open_unchanged(
    digest: bytes, path: bytes, opener: Opener | None = None
) -> Iterator[BufferedReader | None]:
    """Open a content that was read before; None where the file is not as it was. Raises OSError."""
    with cast(BufferedReader, (opener or partial(open_path, path))()) as file:
        same = hashlib.file_digest(file, "sha256").digest() == digest
        file.seek(0)
        yield file if same else None


def _suffix(path: bytes) -> str:
    return os.path.splitext(path)[1].lower().decode("ascii", "replace")
