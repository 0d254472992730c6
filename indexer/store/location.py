"""Resolve library and folder paths."""

import os
from collections.abc import Sequence
from pathlib import Path

from retrieval.catalog.schema import CATALOG_FILE
from retrieval.errors import LibraryMissing
from retrieval.system import default_library


def absolute_path(folder: Path) -> bytes:
    """Return a folder as the catalog stores it: absolute, links not resolved, as bytes."""
    path = os.fsencode(os.path.abspath(folder.expanduser()))
    return b"/" + path.lstrip(b"/")  # POSIX allows two leading slashes


def existing_library(library: str | Path | None) -> Path:
    """Return the folder of an existing library; raises LibraryMissing."""
    folder = library_path(library)
    if not (folder / CATALOG_FILE).exists():
        raise LibraryMissing(folder)
    return folder


def library_path(library: str | Path | None) -> Path:
    """Return the folder of a library, which need not exist; None is the library of the user."""
    return default_library() if library is None else Path(library).expanduser()


def as_paths(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return one folder or several as a list."""
    return [Path(folder) for folder in ([folders] if isinstance(folders, str | Path) else folders)]
