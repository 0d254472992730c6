"""Resolve library and folder paths, and create the folder of a library."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from indexer.store.durability.durable_files import sync
from retrieval.catalog.connection import log_path
from retrieval.catalog.schema import CATALOG_FILE, INDEX_FOLDER
from retrieval.errors import LibraryError, LibraryMissing
from retrieval.file_systems import REMOTE_PATH, RemotePath
from retrieval.formatting import printable
from retrieval.system import default_library, expand_user


def absolute_path(folder: Path) -> bytes:
    """Return a folder as the catalog stores it: absolute, links not resolved, as bytes. URLs are kept."""
    if REMOTE_PATH.match(str(folder)):
        return bytes(RemotePath(folder)).rstrip(b"/")
    path = os.fsencode(os.path.abspath(expand_user(folder)))
    return b"/" + path.lstrip(b"/")  # POSIX allows two leading slashes


def existing_library(library: str | Path | None) -> Path:
    """Return the folder of an existing library; raises LibraryMissing."""
    folder = library_path(library)
    if not (folder / CATALOG_FILE).exists():
        raise LibraryMissing(folder)
    return folder


def library_path(library: str | Path | None) -> Path:
    """Return the folder of a library, which need not exist; None is the library of the user."""
    return default_library() if library is None else expand_user(library)


def as_paths(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return one folder or several as a list."""
    return [Path(folder) for folder in ([folders] if isinstance(folders, str | Path) else folders)]


def require_folders(library: Path, folders: Sequence[Path]) -> None:
    """Raise LibraryError if a folder for a new library does not exist, before the library is made."""
    if not (library / CATALOG_FILE).exists():
        for folder in map(absolute_path, folders):
            if not os.path.isdir(folder):
                raise missing_folder_error(folder)


def missing_folder_error(path: bytes) -> LibraryError:
    """Return the error of a path that is not a folder."""
    name = printable(os.fsdecode(path))
    if os.path.lexists(path):
        return LibraryError(f"{name} is not a folder. Name the folder that contains it.")
    return LibraryError(f"Folder {name} not found.")


def make_library_folder(folder: Path) -> None:
    """Create the folders of a library durably. Raises LibraryError."""
    indexes = folder / INDEX_FOLDER
    new = [path for path in (indexes, *indexes.parents) if not path.exists()]
    try:
        indexes.mkdir(parents=True, exist_ok=True)
        for path in new:
            sync(path.parent)
    except OSError as error:
        raise LibraryError(f"Cannot create the library folder {folder}: {error.strerror}.") from error


def sync_commits(library: Path) -> None:
    """Make the commits of a library durable, which SQLite does only at a checkpoint. Raises OSError."""
    with suppress(FileNotFoundError):
        sync(log_path(library / CATALOG_FILE))
