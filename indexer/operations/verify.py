"""Public API: verify and repair a library."""

from functools import partial
from pathlib import Path

from indexer.maintenance.repair_thumbnails import check_thumbnails, repair_thumbnails
from indexer.maintenance.verify_catalog import Findings, verify
from indexer.models import resolve
from indexer.store.location import existing_library
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, Progress, ignore_message, no_progress
from retrieval.embedders.base import Embedder


def verify_library(
    library: str | Path | None = None,
    *,
    repair: bool = False,
    embedder: Embedder | None = None,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> Findings:
    """Check a library for damage.

    `repair` rebuilds damaged indexes, and missing thumbnails from the files.
    """
    with LibraryWriter(existing_library(library)) as writer:

        def load() -> Embedder:
            space = active_space(writer.catalog)
            return embedder or resolve.resolve_embedder(
                space.model, arch=space.arch, fingerprint=space.fingerprint, notify=notify
            )

        findings = verify(writer, repair=repair)
        if findings.catalog_ok and repair:
            shared = writer.progress_file.shared(progress)
            repair_thumbnails(writer, findings, load, partial(shared, "thumbnails"))
        elif findings.catalog_ok:
            check_thumbnails(writer, findings)
    return findings
