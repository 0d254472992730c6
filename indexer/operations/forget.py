"""Public API: remove folders or spaces from a library."""

from collections.abc import Sequence
from pathlib import Path

from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.publish.outbox import is_publish_due
from indexer.operations.steps.publishing import publish_if_due
from indexer.store.location import absolute_path, as_paths, existing_library
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, ignore_message

NOT_PUBLISHED = (
    "The deleted vectors are still on the Milvus server: `clew publish` deletes them on the server too."
)


def forget(
    folders: str | Path | Sequence[str | Path] = (),
    *,
    library: str | Path | None = None,
    purge: bool = False,
    space: str | None = None,
    milvus_token: str | None = None,
    notify: Notify = ignore_message,
) -> tuple[int, int]:
    """Remove folders from a library; return the number of forgotten files and of deleted segments.

    `purge` deletes contents without a file. `space` names a space to delete, which must not be active. If the
    library has a Milvus server, their vectors are deleted there too, with `milvus_token` or USER:PASSWORD; if
    that is interrupted, KeyboardInterrupt is raised at the end. Raises LibraryError.
    """
    with LibraryWriter(existing_library(library)) as writer:
        if space is not None:
            writer.spaces.drop(space)
        files = writer.roots.forget([absolute_path(folder) for folder in as_paths(folders)])
        segments = writer.purge() if purge else 0
        build_if_due(writer)
        is_complete = True
        if purge or space is not None:
            is_complete = publish_if_due(writer, milvus_token, notify)
            if is_publish_due(writer):
                notify(NOT_PUBLISHED)
    if not is_complete:
        raise KeyboardInterrupt
    return files, segments
