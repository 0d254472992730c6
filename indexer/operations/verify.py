"""Public API: verify and repair a library."""

from functools import partial
from pathlib import Path

from indexer.maintenance.repair_thumbnails import check_thumbnails, mend_thumbnails
from indexer.maintenance.verify import Findings, verify
from indexer.models import resolve
from indexer.store.location import existing
from indexer.store.spaces import current
from indexer.store.writer import Writer
from indexer.types import Progress, Say, silent
from retrieval.embedders.base import Embedder


def verify_library(
    library: str | Path | None = None,
    *,
    repair: bool = False,
    embedder: Embedder | None = None,
    progress: Progress = silent,
    say: Say = resolve.silent,
) -> Findings:
    """Check that a library is as it was written.

    `repair` builds a damaged index again, and makes the thumbnails that are missing from the files.
    """
    with Writer(existing(library)) as writer:

        def load() -> Embedder:
            space = current(writer.catalog)
            return embedder or resolve.ready(space.name, fingerprint=space.fingerprint, say=say)

        findings = verify(writer, repair=repair)
        if findings.sound and repair:
            mend_thumbnails(writer, findings, load, partial(progress, "thumbnails"))
        elif findings.sound:
            check_thumbnails(writer, findings)
    return findings
