"""Import shards into a library, update its indexes and publish its vectors."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from indexer.distributed.job import Manifest
from indexer.distributed.remote import is_url
from indexer.imports.base import Imported
from indexer.imports.shards import ShardCounts, ShardImport
from indexer.maintenance.build_index import PeriodicBuild
from indexer.models import resolve
from indexer.models.options import ModelOptions
from indexer.operations.pipeline import IndexRun
from indexer.operations.steps.publishing import publish_if_due
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, Progress
from retrieval.embedders.base import Embedder
from retrieval.errors import EmbedderError, LibraryError
from retrieval.file_systems import as_path
from retrieval.formatting import printable
from retrieval.types import Failure, Space


@dataclass(frozen=True, slots=True)
class SourceShards:
    """The shards to import, how to load their model, and the token of the Milvus server of the library."""

    location: str
    manifest: Manifest
    embedder: Embedder | None
    options: ModelOptions
    milvus_token: str | None


def import_shards(shards: SourceShards, library: Path, progress: Progress, notify: Notify) -> Imported:
    """Import shards. An import that was interrupted resumes, and a second one changes nothing.

    Raises LibraryError if the library has another model, EmbedderError, and StoreError.
    """
    manifest, counts, interrupted, notes = shards.manifest, ShardCounts(), False, list[str]()
    with LibraryWriter(library, _embedder_factory(shards, notify)) as writer:
        run = ShardImport(shards.location, manifest, writer)
        counts = run.counts
        try:
            run.run(progress, PeriodicBuild(writer).update)
            writer.captions.match_names()
            IndexRun(writer, notify=notify).update_indexes()
            shared = writer.progress_file.shared(progress)
            interrupted = not publish_if_due(writer, shards.milvus_token, notes.append, shared)
        except KeyboardInterrupt:
            interrupted = True
        space = writer.embedder.name
    return Imported(
        "clew embed",
        space,
        tuple(as_path(os.fsdecode(root)) for root in run.roots),
        adopted=counts.added,
        known=counts.known,
        changed=tuple(as_path(os.fsdecode(path)) for path in counts.changed),
        missing=tuple(as_path(os.fsdecode(path)) for path in counts.missing),
        failed=tuple(Failure(as_path(os.fsdecode(path)), reason) for path, reason in counts.failed),
        damaged=tuple(Failure(as_path(path), reason) for path, reason in counts.damaged),
        segments=counts.segments,
        notes=tuple(map(printable, [*_notes(manifest, run), *notes])),
        active=True,
        interrupted=interrupted,
    )


def _embedder_factory(shards: SourceShards, notify: Notify) -> Callable[[Space | None], Embedder]:
    """Return a function that loads the model of shards for a library, whose model must be the same."""
    manifest = shards.manifest

    def load(space: Space | None) -> Embedder:
        if space is not None and space.fingerprint != manifest.fingerprint:
            raise LibraryError(
                f"The shards have vectors of {manifest.model}, and this library those of {space.name}. Use "
                f"another --library, or change its model first: clew switch {manifest.model}"
            )
        embedder = shards.embedder or resolve.resolve_embedder(
            manifest.model,
            arch=shards.options.arch or manifest.arch,
            device=shards.options.device,
            fingerprint=manifest.fingerprint,
            notify=notify,
        )
        if embedder.fingerprint != manifest.fingerprint:
            raise EmbedderError(
                f"The shards are of another version of {manifest.model} than this machine has. Install the "
                "version that made them, or embed the files again."
            )
        return embedder

    return load


def _notes(manifest: Manifest, run: ShardImport) -> list[str]:
    """Return notes on missing shards, and on files that cannot be opened from here."""
    notes, counts = list[str](), run.counts
    if counts.shards < manifest.items:
        notes.append(
            f"{counts.shards:,} of {manifest.items:,} shards are complete. Repeat `clew embed` to write the "
            "others, then import again."
        )
    remote = [root for root in map(os.fsdecode, run.roots) if is_url(root)]
    for root in remote:
        shown = "are shown as thumbnails" if manifest.thumbnails else "have no thumbnails"
        notes.append(f"Files in {root} are found and {shown}, but cannot be opened by clew.")
    if not manifest.thumbnails and len(remote) < len(run.roots):
        notes.append("The shards have no thumbnails. `clew verify --repair` makes those of local files.")
    return notes
