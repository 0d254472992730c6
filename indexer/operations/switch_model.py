"""Change the model of a library: the new space is filled while the old one answers, then they swap."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from indexer.maintenance.backfill_vectors import backfill_vectors
from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.models import resolve
from indexer.store.location import existing_library
from indexer.store.spaces import active_space
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
    """The answers of two spaces to one query; `overlap` is the share of hits they have in common."""

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
    """What a switch did.

    `embedded` segments got their vector now, `waiting` ones have no file to read at present and get theirs
    when it is back. `answers` says whether the new space answers now.
    """

    old: str
    new: str
    embedded: int = 0
    waiting: int = 0
    seconds: float = 0.0
    answers: bool = False
    interrupted: bool = False
    comparisons: tuple[Comparison, ...] = ()


def switch_library(
    model: str,
    *,
    library: str | Path | None = None,
    arch: str | None = None,
    device: str | None = None,
    compare: Sequence[str] = (),
    embedder: Embedder | None = None,
    progress: Progress = no_progress,
    notify: Notify = ignore_message,
) -> Switched:
    """Fill a space of another model, and let it answer instead of the present one.

    The old space answers until the new one is whole and its indexes are built; it stays until it is
    forgotten. Ctrl-C, or a kill, leaves it answering, and the next call goes on. With queries to `compare`,
    both spaces answer them and nothing is swapped. Raises LibraryError and EmbedderError.
    """
    begun, place = monotonic(), existing_library(library)
    name = resolve.RECOMMENDED_MODEL if model == resolve.AUTO else model
    new = embedder or resolve.resolve_embedder(name, arch=arch, device=device, notify=notify)
    for words in compare:
        validate_query(parse(words))  # one that cannot be asked is better known before than after the work
    with LibraryWriter(place) as writer:
        space = writer.spaces.find_or_create(new)
        old = active_space(writer.catalog)  # which may have stepped aside

        def advance(done: int, total: int) -> None:
            progress(space.name, done, total)

        try:
            embedded, waiting = backfill_vectors(writer, space, new, advance)
            space = build_if_due(writer, space=_reload_space(writer, space))
            calibrate_if_due(writer, space, new)
            retrain_concepts(writer, space, new)
        except KeyboardInterrupt:
            return Switched(old.name, space.name, seconds=_elapsed_seconds(begun), interrupted=True)
        if not compare:
            writer.spaces.activate(space, complete=not waiting)
            try:
                update_tags(writer, space, new)
            except KeyboardInterrupt:  # the new space answers; the next `clew index` tags what is left
                return Switched(old.name, space.name, embedded, waiting, _elapsed_seconds(begun), True, True)
    found = _compare_spaces(place, old, space, new, compare)
    return Switched(
        old.name, space.name, embedded, waiting, _elapsed_seconds(begun), not compare, False, found
    )


def _compare_spaces(
    library_folder: Path, old: Space, space: Space, new: Embedder, queries: Sequence[str]
) -> tuple[Comparison, ...]:
    if not queries:
        return ()
    with (
        Library.open(library_folder, space=old.name) as one,
        Library.open(library_folder, space=space.name, embedder=new) as two,
    ):
        return tuple(
            Comparison(
                words,
                tuple(one.search(words, count=MAX_COMPARED_HITS)),
                tuple(two.search(words, count=MAX_COMPARED_HITS)),
            )
            for words in queries
        )


def _reload_space(writer: LibraryWriter, space: Space) -> Space:
    """Return the space as the catalogue has it now."""
    found = writer.catalog.space(space.name)
    assert found is not None, "it was made above"
    return found


def _elapsed_seconds(started_at: float) -> float:
    return round(monotonic() - started_at, 3)
