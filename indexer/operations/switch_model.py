"""Change the model of a library: the new space is filled while the old one answers, then they swap."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from indexer.maintenance.backfill_vectors import fill
from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.models import resolve
from indexer.models.resolve import silent as say_nothing
from indexer.store.location import existing
from indexer.store.spaces import current
from indexer.store.writer import Writer
from indexer.tag.concepts import refit
from indexer.tag.tag_table import tag_if_due
from indexer.types import Progress, Say, silent
from retrieval.embedders.base import Embedder
from retrieval.library import Library
from retrieval.query.encoder import check
from retrieval.query.parser import parse
from retrieval.types import Hit, Space

COMPARED = 10  # hits of each space


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answers of two spaces to one query; `overlap` is the share of hits they have in common."""

    query: str
    old: tuple[Hit, ...]
    new: tuple[Hit, ...]

    @property
    def overlap(self) -> float:
        """Return how many of the hits are in both, of as many as the longer answer has."""
        common = {hit.id for hit in self.old} & {hit.id for hit in self.new}
        return len(common) / max(1, len(self.old), len(self.new))


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
    progress: Progress = silent,
    say: Say = say_nothing,
) -> Switched:
    """Fill a space of another model, and let it answer instead of the present one.

    The old space answers until the new one is whole and its indexes are built; it stays until it is
    forgotten. Ctrl-C, or a kill, leaves it answering, and the next call goes on. With queries to `compare`,
    both spaces answer them and nothing is swapped. Raises LibraryError and EmbedderError.
    """
    begun, place = monotonic(), existing(library)
    name = resolve.RECOMMENDED if model == resolve.AUTO else model
    new = embedder or resolve.ready(name, arch=arch, device=device, say=say)
    for words in compare:
        check(parse(words))  # one that cannot be asked is better known before than after the work
    with Writer(place) as writer:
        space = writer.spaces.add(new)
        old = current(writer.catalog)  # which may have stepped aside

        def advance(done: int, total: int) -> None:
            progress(space.name, done, total)

        try:
            embedded, waiting = fill(writer, space, new, advance)
            space = build_if_due(writer, space=_named(writer, space))
            calibrate_if_due(writer, space, new)
            refit(writer, space, new)
        except KeyboardInterrupt:
            return Switched(old.name, space.name, seconds=_since(begun), interrupted=True)
        if not compare:
            writer.spaces.answer_with(space, whole=not waiting)
            try:
                tag_if_due(writer, space, new)
            except KeyboardInterrupt:  # the new space answers; the next `clew index` tags what is left
                return Switched(old.name, space.name, embedded, waiting, _since(begun), True, True)
    found = _compare(place, old, space, new, compare)
    return Switched(old.name, space.name, embedded, waiting, _since(begun), not compare, False, found)


def _compare(
    place: Path, old: Space, space: Space, new: Embedder, queries: Sequence[str]
) -> tuple[Comparison, ...]:
    if not queries:
        return ()
    with (
        Library.open(place, space=old.name) as one,
        Library.open(place, space=space.name, embedder=new) as two,
    ):
        return tuple(
            Comparison(
                words, tuple(one.search(words, count=COMPARED)), tuple(two.search(words, count=COMPARED))
            )
            for words in queries
        )


def _named(writer: Writer, space: Space) -> Space:
    """Return the space as the catalogue has it now."""
    found = writer.catalog.space(space.name)
    assert found is not None, "it was made above"
    return found


def _since(begun: float) -> float:
    return round(monotonic() - begun, 3)
