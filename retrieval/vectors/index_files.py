"""Check the files of indexes before FAISS reads them: of a damaged one it may believe any size."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from retrieval.catalog.schema import INDEX_FOLDER
from retrieval.errors import LibraryDamaged
from retrieval.types import IndexFile
from retrieval.vectors.base import READABLE_FORMATS


def check_index_file(folder: Path, file: IndexFile, *, completely: bool = False) -> IndexFile:
    """Return the record of an index file with its current mtime.

    Its SHA-256 is computed if the file was modified since it was last checked, or if `completely`. Raises
    LibraryDamaged if it is missing, damaged or in an unknown format.
    """
    path = folder / INDEX_FOLDER / file.file
    if file.format not in READABLE_FORMATS:
        raise LibraryDamaged(f"The index file {path} has the unknown format {file.format!r}.")
    if not path.is_file():
        raise LibraryDamaged(f"The index file {path} is missing.")
    try:
        with path.open("rb") as opened:
            status = os.fstat(opened.fileno())
            if status.st_size != file.size:
                raise LibraryDamaged(f"The index file {path} has {status.st_size} bytes, not {file.size}.")
            if completely or status.st_mtime_ns != file.mtime:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
                if digest != file.digest:
                    raise LibraryDamaged(f"The index file {path} is damaged: its checksum is wrong.")
    except OSError as error:
        raise LibraryDamaged(f"The index file {path} cannot be read: {error.strerror}.") from error
    return replace(file, mtime=status.st_mtime_ns)
