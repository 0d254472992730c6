"""Read one file: hash it, and decode it only if its content is new."""

import hashlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from indexer.decoders import Decoded, Decoder, caption, picture, text
from indexer.walk import Found
from retrieval.embedders import Embedder
from retrieval.errors import MediaError

DECODERS: dict[str, Decoder] = {
    "picture": picture.decode,
    "text": text.decode,
    "caption": caption.decode,
}


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read: what it holds, or that its content is known, or why it cannot be read."""

    found: Found
    digest: bytes = b""
    known: bool = False
    decoded: Decoded = field(default_factory=Decoded)
    error: str | None = None

    @property
    def time(self) -> str:
        """Return when the file was last written, ISO, local."""
        return datetime.fromtimestamp(self.found.mtime / 1e9).isoformat(timespec="seconds")


def read(
    root: bytes, found: Found, embedder: Embedder, is_known: Callable[[bytes, str], bool]
) -> Read | None:
    """Read a file; None if it has gone since the scan. A file that cannot be read is never fatal."""
    try:
        with open(os.path.join(root, found.path), "rb") as file:
            status = os.fstat(file.fileno())
            found = found._replace(size=status.st_size, mtime=status.st_mtime_ns)
            digest = hashlib.file_digest(file, "sha256").digest()
            if is_known(digest, found.reader):
                return Read(found, digest, known=True)
            file.seek(0)
            suffix = os.path.splitext(found.path)[1].lower().decode("ascii", "replace")
            return Read(found, digest, decoded=DECODERS[found.reader](file, suffix, embedder))
    except FileNotFoundError:
        return None
    except MediaError as error:
        return Read(found, error=str(error))
    except OSError as error:
        return Read(found, error=error.strerror or str(error))
    except sqlite3.Error:
        raise
    except Exception as error:  # a decoder's own bug must not cost the person the other files
        return Read(found, error=f"unexpected {type(error).__name__}: {error}")
