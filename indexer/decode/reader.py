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
from indexer.decode.base import Decoded, Decoder
from indexer.decode.documents import html, office, pdf
from indexer.decode.images import decoder as images
from indexer.decode.signatures import HEAD, NAMES, explain, readers
from indexer.decode.text import caption_table, captions, plain, subtitles
from indexer.decode.video import decoder as video
from indexer.types import Found, nanoseconds
from retrieval.embedders.base import Embedder
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
class Read:
    """A file that was read: what it holds, or that its content is known, or why it cannot be read.

    What fails for the moment (a disk that does not answer, an extra that is not installed, which `lacks`
    says) is tried again by the next run, and what was known of the file stays.
    """

    found: Found
    digest: bytes = b""
    known: bool = False
    decoded: Decoded = field(default_factory=Decoded)
    error: str | None = None
    passing: bool = False
    lacks: str | None = None

    @property
    def time(self) -> str:
        """Return when the file was last written, ISO, local."""
        try:
            return datetime.fromtimestamp(self.found.mtime / 1e9).isoformat(timespec="seconds")
        except (ValueError, OverflowError, OSError):  # a time no calendar has
            return "1970-01-01T00:00:00"


def read(
    root: bytes,
    found: Found,
    embedder: Embedder,
    is_known: Callable[[bytes, str], bool],
    opener: Opener | None = None,
) -> Read | None:
    """Read a file; None if it has gone since the scan. A file that cannot be read is never fatal.

    `opener` opens one that is in an archive, which is as it was found: the archive is what may change.
    """
    try:
        if opener is not None:
            with cast(BufferedReader, opener()) as file:
                return _read_open(file, found, embedder, is_known)
        for _ in range(3):
            with open(os.path.join(root, found.path), "rb") as file:
                before = os.fstat(file.fileno())
                found = found._replace(size=before.st_size, mtime=nanoseconds(before))
                done = _read_open(file, found, embedder, is_known)
                after = os.fstat(file.fileno())
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return done
        return Read(found, error="is being written", passing=True)
    except FileNotFoundError:
        return None
    except MediaError as error:
        return Read(found, error=str(error))
    except OSError as error:
        return Read(found, error=error.strerror or str(error), passing=True)


def _read_open(
    file: BufferedReader, found: Found, embedder: Embedder, is_known: Callable[[bytes, str], bool]
) -> Read:
    """Hash an open file, and decode it if its content is not known."""
    digest = hashlib.file_digest(file, "sha256").digest()
    if is_known(digest, found.reader):
        return Read(found, digest, known=True)
    file.seek(0)
    try:
        return Read(found, digest, decoded=_decode(found.reader, file, _suffix(found.path), embedder))
    except MediaError as error:
        return Read(found, error=str(error))
    except ExtraMissing as error:
        return Read(found, error=str(error), passing=True, lacks=str(error))
    except Exception as error:  # a decoder's own bug must not cost the person the other files
        return Read(found, error=f"unexpected {type(error).__name__}: {error}")


def _decode(reader: str, file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Decode a file as what its suffix says, or else, where that cannot be, as what its first bytes say."""
    try:
        return DECODERS[reader](file, suffix, embedder)
    except MediaError as error:
        file.seek(0)
        head = file.read(HEAD)
        for other in readers(reader, head):
            file.seek(0)
            try:
                decoded = DECODERS[other](file, suffix, embedder)
            except MediaError:
                continue
            if str(error).startswith("damaged"):
                return replace(decoded, note=f"{error}; it is read as {NAMES[other]}")
            return decoded
        reason = explain(str(error), reader, head)
        raise (error if reason == str(error) else MediaError(reason)) from None


def read_again(
    digest: bytes,
    reader: str,
    place: bytes,
    embedder: Embedder,
    opener: Opener | None = None,
    spans: Sequence[tuple[float, float]] | None = None,
) -> Decoded | None:
    """Decode a content that was read before; None where the file is not there as it was.

    Of what was read as a video, whose segments follow from how a model sees it, those that begin and end at
    `spans`.
    """
    try:
        with open_again(digest, place, opener) as file:
            if file is None:
                return None
            if spans is not None:
                return Decoded(video.decode_again(file, embedder, spans))
            return _decode(reader, file, _suffix(place), embedder)
    except Exception:  # gone since, or a decoder that has changed its mind
        return None


@contextmanager
def open_again(digest: bytes, place: bytes, opener: Opener | None = None) -> Iterator[BufferedReader | None]:
    """Open a content that was read before; None where the file is not as it was. Raises OSError."""
    with cast(BufferedReader, (opener or partial(open_path, place))()) as file:
        same = hashlib.file_digest(file, "sha256").digest() == digest
        file.seek(0)
        yield file if same else None


def _suffix(path: bytes) -> str:
    return os.path.splitext(path)[1].lower().decode("ascii", "replace")
