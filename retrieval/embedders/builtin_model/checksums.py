"""Verify the files of a model once, and remember it until their size or time changes."""

import hashlib
from contextlib import suppress
from pathlib import Path

from retrieval.errors import EmbedderError
from retrieval.system import model_cache_folder

SUMS_FILE = "SHA256SUMS"
VERIFIED_FILE = "verified.txt"  # in the user's cache: digest, size, time in ns and path of verified files


def read_checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a model, by name."""
    lines = (folder / SUMS_FILE).read_text("utf-8").splitlines()
    return {name: digest for digest, name in map(str.split, lines)}


def verify_file(file: Path, digest: str) -> Path:
    """Return the file if it has this SHA-256; raises EmbedderError.

    It is read again only if its size or time has changed, as hashing takes longer than a search.
    """
    cache = model_cache_folder() / VERIFIED_FILE
    stat = file.stat()
    line = f"{digest} {stat.st_size} {stat.st_mtime_ns} {file.resolve()}"
    with suppress(OSError, UnicodeError):
        if line in cache.read_text("utf-8").splitlines():
            return file
    with file.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != digest:
            raise EmbedderError(f"{file} has a wrong checksum. Reinstall clew-search.")
    with suppress(OSError, UnicodeError):  # a cache that cannot be written only costs time
        cache.parent.mkdir(parents=True, exist_ok=True)
        with cache.open("a", encoding="utf-8") as opened:
            opened.write(line + "\n")
    return file
