"""Public API: tune the search effort of the indexes of a library."""

from dataclasses import replace
from pathlib import Path

from indexer.maintenance.build_index import build_if_due, tune_indexes
from indexer.store.location import existing_library
from indexer.store.writer import LibraryWriter
from retrieval.errors import LibraryError
from retrieval.types import IndexFile

MIN_TARGET_RECALL = 0.5


def tune_library(
    library: str | Path | None = None, *, target_recall: float | None = None
) -> tuple[IndexFile, ...]:
    """Measure the index files of the active model and choose their search efforts; return the files.

    `target_recall`, the share of the ten best hits that is found, is saved in the library and also used by
    later builds. Raises LibraryError.
    """
    if target_recall is not None and not MIN_TARGET_RECALL <= target_recall <= 1:
        raise LibraryError(
            f"Invalid recall {target_recall}. Use a number from {MIN_TARGET_RECALL} to 1, such as 0.99."
        )
    with LibraryWriter(existing_library(library)) as writer:
        if target_recall is not None:
            writer.save_settings(replace(writer.settings(), target_recall=target_recall))
        return tune_indexes(writer, build_if_due(writer)).indexes
