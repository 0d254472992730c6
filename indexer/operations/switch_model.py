"""Change the model of a library: fill a new space while the old one is active, then activate it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic

from indexer.maintenance.backfill_vectors import backfill_vectors
from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.maintenance.map.build_map import build_map_if_due
from indexer.models import resolve
from indexer.models.options import DEFAULT_MODEL_OPTIONS, ModelOptions
from indexer.operations.steps.publishing import publish_if_due
from indexer.store.location import existing_library
from indexer.store.spaces import active_space, space_embedder
from indexer.store.writer import LibraryWriter
from indexer.tag.concepts import retrain_concepts
from indexer.tag.tag_table import update_tags
from indexer.types import Notify, Progress, ignore_message, no_progress
from retrieval.embedders.base import Embedder
from retrieval.library import Library
from retrieval.query.encoder import validate_query
from retrieval.query.parser import parse
from retrieval.types import Hit, Space

MAX_COMPARED_HITS = 10  # hits of each space


@dataclass(frozen=True, slots=True)
class Comparison:
    """The hits of two spaces for one query."""

    query: str
    old: tuple[Hit, ...]
    new: tuple[Hit, ...]

    @property
    def common(self) -> int:
        """Return the number of hits that both spaces return."""
        return len({hit.id for hit in self.old} & {hit.id for hit in self.new})

    @property
    def overlap(self) -> float:
        """Return the number of common hits as a share of the longer answer."""
        return self.common / max(1, len(self.old), len(self.new))


@dataclass(frozen=True, slots=True)
class Switched:
    """The result of `switch_library`."""

    old: str
    new: str
    embedded: int = 0  # segments with a new vector
    waiting: int = 0  # segments whose files are offline; they are embedded when the files return
    seconds: float = 0.0
    answers: bool = False  # the new space is active
    interrupted: bool = False
    comparisons: tuple[Comparison, ...] = ()


def switch_library(
    model: str,
    *,
    library: str | Path | None = None,
    options: ModelOptions = DEFAULT_MODEL_OPTIONS,
    compare: Sequence[str] = (),
    embedder: Embedder | None = None,
    milvus_token: str | None = None,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> Switched:
    """Embed a library with another model, and activate its space.

    The old space stays active until the new one is complete and its indexes are built, and is kept until it
    is forgotten. If the library has a Milvus server, the new vectors are published to it with `milvus_token`,
    or USER:PASSWORD. After an interruption the next call resumes. With queries in `compare`, both spaces
    answer them and the old one stays active. `model` may also name a space of the library that a newer
    version of its model replaced. Raises LibraryError and EmbedderError.
    """
    started_at, folder = monotonic(), existing_library(library)
    for words in compare:
        validate_query(parse(words))  # fail before the work if a query is invalid
    with LibraryWriter(folder) as writer:
        new = embedder or _resolve_embedder(writer, model, options, notify)
        result = switch_space(writer, new, progress, activate=not compare)
        if result.answers and not result.interrupted:
            is_complete = publish_if_due(writer, milvus_token, notify, writer.progress_file.shared(progress))
            result = replace(result, interrupted=not is_complete)
    if not result.interrupted:
        resolve.export_towers_if_due(new, notify)
    if compare and not result.interrupted:
        comparisons = _compare_spaces(folder, result.old, result.new, new, compare, milvus_token)
        result = replace(result, comparisons=comparisons)
    return replace(result, seconds=round(monotonic() - started_at, 3))


def switch_space(
    writer: LibraryWriter, embedder: Embedder, progress: Progress = no_progress, *, activate: bool = True
) -> Switched:
    """Fill the space of an embedder, build its indexes and, by default, activate it."""
    progress = writer.progress_file.shared(progress)
    space = writer.spaces.find_or_create(embedder)
    old = active_space(writer.catalog)  # after it may have been renamed
    result = Switched(old.name, space.name)
    try:
        embedded, waiting = backfill_vectors(writer, space, embedder, partial(progress, space.name))
        calibrate_if_due(writer, _reload_space(writer, space), embedder)
        space = build_if_due(writer, space=_reload_space(writer, space))  # tuned with the background queries
        retrain_concepts(writer, space, embedder)
        result = replace(result, embedded=embedded, waiting=waiting)
        if activate:
            writer.spaces.activate(space, complete=not waiting)
            result = replace(result, answers=True)
            update_tags(writer, space, embedder)
        build_map_if_due(writer, space)
    except KeyboardInterrupt:  # the next call resumes; after the activation, the next `clew index` tags
        return replace(result, interrupted=True)
    return result


def _resolve_embedder(writer: LibraryWriter, model: str, options: ModelOptions, notify: Notify) -> Embedder:
    """Return the embedder of a model, or that of a space that a newer version of its model replaced."""
    space = writer.catalog.space(model)
    if space is not None and space.name != space.model:
        return space_embedder(space, None, notify, arch=options.arch, device=options.device)
    name = resolve.RECOMMENDED_MODEL if model == resolve.AUTO else model
    arch = options.arch or (None if space is None else space.arch)
    return resolve.resolve_embedder(name, arch=arch, device=options.device, notify=notify)


def _compare_spaces(
    library_folder: Path, old: str, new: str, embedder: Embedder, queries: Sequence[str], token: str | None
) -> tuple[Comparison, ...]:
    with (
        Library.open(library_folder, space=old, token=token) as old_library,
        Library.open(library_folder, space=new, embedder=embedder, token=token) as new_library,
    ):
        return tuple(
            Comparison(
                words,
                tuple(old_library.search(words, count=MAX_COMPARED_HITS)),
                tuple(new_library.search(words, count=MAX_COMPARED_HITS)),
            )
            for words in queries
        )


def _reload_space(writer: LibraryWriter, space: Space) -> Space:
    """Return the current row of a space."""
    reloaded = writer.catalog.space(space.name)
    assert reloaded is not None, "created above"
    return reloaded
