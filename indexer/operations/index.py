"""Public API: index a folder or update a library."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from indexer.models import resolve
from indexer.operations.options import DEFAULT_OPTIONS, IndexOptions
from indexer.operations.pipeline import update_folders
from indexer.operations.report import Report
from indexer.operations.saved_options import check_extras
from indexer.store.location import as_paths, library_path, require_folders
from indexer.store.writer import LibraryWriter
from indexer.types import Notify, Progress, ignore_message, no_progress
from retrieval.embedders.base import Embedder
from retrieval.types import Space

if TYPE_CHECKING:
    from retrieval.library import Library


def index_folder(
    folder: str | Path,
    *,
    library: str | Path | None = None,
    model: str | None = None,
    embedder: Embedder | None = None,
    options: IndexOptions = DEFAULT_OPTIONS,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> "Library":
    """Index a folder of media, or update its index, and return the library.

    Parameters as in `update_library`. Raises KeyboardInterrupt if the run was interrupted.
    """
    from retrieval.library import Library  # heavy, and not needed by update_library

    report = update_library(
        [folder],
        library=library,
        model=model,
        embedder=embedder,
        options=options,
        progress=progress,
        notify=notify,
    )
    if report.interrupted:
        raise KeyboardInterrupt
    return Library.open(library, embedder=embedder, token=options.milvus_token)


def update_library(
    folders: str | Path | Sequence[str | Path] = (),
    *,
    library: str | Path | None = None,
    model: str | None = None,
    embedder: Embedder | None = None,
    options: IndexOptions = DEFAULT_OPTIONS,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> Report:
    """Index folders, or all folders of the library, and report what changed.

    `library` is the folder of the library (default: one per user). A new library uses `model`; the default
    is the recommended open_clip model if it is cached or can be downloaded, else `builtin`. An existing
    library keeps its model. `embedder` replaces the named model. Ctrl-C ends the run early and sets
    `interrupted` in the report. Files that cannot be read raise no error: see `Library.failures`. Raises
    LibraryError, EmbedderError, and ExtraMissing for an option
    without its extra.
    """
    check_extras(options)
    factory = embedder_factory(embedder, model, options.arch, options.device, notify)
    paths, library_folder = as_paths(folders), library_path(library)
    require_folders(library_folder, paths)
    with LibraryWriter(library_folder, factory) as writer:
        report = update_folders(writer, paths, options, progress=progress, notify=notify)
    if not report.interrupted:
        resolve.export_towers_if_due(writer.embedder, notify)
    return report


def embedder_factory(
    embedder: Embedder | None, model: str | None, arch: str | None, device: str | None, notify: Notify
) -> Callable[[Space | None], Embedder]:
    """Return a function that loads the embedder of the active space; None stands for a new library."""

    def create(space: Space | None) -> Embedder:
        if embedder is not None:
            return embedder
        name, fingerprint, saved_arch = model or resolve.AUTO, None, None
        if space is not None and name in (resolve.AUTO, space.name):
            name, fingerprint, saved_arch = space.model, space.fingerprint, space.arch
        return resolve.resolve_embedder(
            name, arch=arch or saved_arch, device=device, fingerprint=fingerprint, notify=notify
        )

    return create
