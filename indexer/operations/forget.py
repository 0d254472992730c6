"""Public API: remove folders or spaces from a library."""

from collections.abc import Sequence
from pathlib import Path

from indexer.maintenance.build_index import build_if_due
from indexer.store.location import absolute_path, as_paths, existing_library
from indexer.store.writer import LibraryWriter


def forget(
    folders: str | Path | Sequence[str | Path] = (),
    *,
    library: str | Path | None = None,
    purge: bool = False,
    space: str | None = None,
) -> tuple[int, int]:
    """Remove folders from a library; return the number of forgotten files and of deleted segments.

    `purge` deletes contents without a file. `space` names a space to delete, which must not be active. Raises
    LibraryError.
    """
    with LibraryWriter(existing_library(library)) as writer:
        if space is not None:
            writer.spaces.drop(space)
        files = writer.roots.forget([absolute_path(folder) for folder in as_paths(folders)])
        segments = writer.purge() if purge else 0
        build_if_due(writer)
    return files, segments
