"""Public API: verify and repair a library."""

from functools import partial
from pathlib import Path

from indexer.maintenance.recovery.incomplete_contents import delete_incomplete
from indexer.maintenance.recovery.recover_catalog import recover_catalog
from indexer.maintenance.repair_thumbnails import check_thumbnails, repair_thumbnails
from indexer.maintenance.verify_catalog import (
    Findings,
    relation_errors,
    structure_errors,
    verify_indexes,
)
from indexer.maintenance.verify_vectors import verify_vectors
from indexer.models import resolve
from indexer.store.durability.damage import check_pages
from indexer.store.durability.losses import find_loss, forget_losses, recorded_losses
from indexer.store.location import existing_library
from indexer.store.lock import library_lock
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, Progress, ignore_message, no_progress
from retrieval.catalog.schema import CHECKSUMS_FILE
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryMissing
from retrieval.formatting import pluralize

_ADVICE = "`clew verify --repair` recovers what can be read, `clew restore` all of a backup."
_MANY_ADVICE = (
    "SQLite finds no damage, so another program may have written them: `clew verify --trust` accepts them. "
    "Else restore a backup with `clew restore`."
)


def verify_library(
    library: str | Path | None = None,
    *,
    repair: bool = False,
    trust: bool = False,
    sample: int = 0,
    embedder: Embedder | None = None,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> Findings:
    """Check a library for damage.

    `repair` restores damaged pages of the catalog, or else recovers its readable rows. It rebuilds damaged
    indexes, and missing thumbnails from the files. Commits that were lost with a damaged log are errors up to
    the next repair. `trust` accepts pages that another program wrote. `sample`
    files are embedded again, and their vectors compared.
    """
    folder, findings = existing_library(library), Findings()
    with library_lock(folder):
        losses = [*recorded_losses(folder), *filter(None, [find_loss(folder)])]
        (findings.repaired if repair else findings.errors).extend(map(str, losses))
        _verify_pages(folder, findings, repair=repair, trust=trust)
    if findings.catalog_ok:
        try:
            with LibraryWriter(folder) as writer:
                _verify_relations(writer, findings, repair=repair)
        except LibraryMissing:  # all of it was lost
            findings.catalog_ok = False
            findings.errors.append("The library is empty. `clew index FOLDER` fills it again.")
    if findings.catalog_ok:
        with LibraryWriter(folder) as writer:
            load = partial(_load, writer, embedder, notify)
            shared = writer.progress_file.shared(progress)
            verify_indexes(writer, findings, repair=repair)
            if sample:
                verify_vectors(writer, findings, load(), sample, partial(shared, "vectors"))
            if repair:
                repair_thumbnails(writer, findings, load, partial(shared, "thumbnails"))
            else:
                check_thumbnails(writer, findings)
    if losses and repair:
        forget_losses(folder)
    return findings


def _load(writer: LibraryWriter, embedder: Embedder | None, notify: Notify) -> Embedder:
    space = active_space(writer.catalog)
    return embedder or resolve.resolve_embedder(
        space.model, arch=space.arch, fingerprint=space.fingerprint, notify=notify
    )


def _verify_pages(folder: Path, findings: Findings, *, repair: bool, trust: bool) -> None:
    """Check the pages and the structure of the catalog, and restore or recover it."""
    pages = check_pages(folder, repair=repair)
    damage, count = structure_errors(folder), pluralize(len(pages.damaged), "page")
    findings.warnings += pages.notes
    if pages.restored:
        findings.repaired.append(f"Restored {pluralize(len(pages.restored), 'page')} of the catalog.")
    if pages.damaged and trust and not damage:
        (folder / CHECKSUMS_FILE).unlink()  # the next writer computes them again
        findings.repaired.append(f"Accepted {count} of the catalog as they are.")
        return
    if pages.damaged:
        damage.insert(0, f"{count} of the catalog changed on the disk after they were written.")
    if pages.is_many and len(damage) == 1:
        findings.catalog_ok = False
        findings.errors += [*damage, _MANY_ADVICE]
    elif damage and repair:
        findings.repaired.append(str(recover_catalog(folder, pages.damaged)))
    elif damage:
        findings.catalog_ok = False
        findings.errors += [*damage, _ADVICE]


def _verify_relations(writer: LibraryWriter, findings: Findings, *, repair: bool) -> None:
    """Check that rows which belong together exist, or delete contents that lack some."""
    damage = relation_errors(writer.catalog)
    if damage and repair:
        files = pluralize(delete_incomplete(writer.db), "file")
        findings.repaired += [*damage, f"Deleted the data of {files}; `clew index` reads them again."]
    elif damage:
        findings.errors += [*damage, "`clew verify --repair` deletes what is incomplete."]
