"""Resolve library and folder paths."""

import os
from collections.abc import Sequence
from pathlib import Path

from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import LibraryMissing
from retrieval.system import default_library


def absolute_path(folder: Path) -> bytes:
    """Return a folder as the catalogue spells it: absolute, links kept, bytes."""
    path = os.fsencode(os.path.abspath(folder.expanduser()))
    return b"/" + path.lstrip(b"/")  # POSIX lets two slashes begin a path


def existing_library(library: str | Path | None) -> Path:
    """Return the folder of a library that is there; raises LibraryMissing."""
    place = library_path(library)
    if not (place / CATALOG_FILE).exists():
        raise LibraryMissing(place)
    return place


def library_path(library: str | Path | None) -> Path:
    """Return the folder of a library, which need not be there."""
    return default_library() if library is None else Path(library).expanduser()


def as_list(value: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    """Return one as a list of one: a string is no list of letters."""
    return [value] if isinstance(value, str | Path) else value
