"""Zero-shot labels: tag what is in a library with the names of things, and whatever is indexed later."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from indexer.models import resolve
from indexer.store.location import existing_library
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from indexer.tag.matcher import CONFIDENCE_DIGITS, DEFAULT_KINDS, TagRule, match_labels
from indexer.tag.tag_table import TagCounter, delete_labels, write_tags
from indexer.tag.zero_shot import DEFAULT_IMAGE_WEIGHT
from indexer.types import Notify
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryMissing, QueryError, SpaceMismatch, describe_differences
from retrieval.query.filters import MAX_PATTERN_LENGTH, build_filters
from retrieval.types import CONFIDENCE_THRESHOLD, KINDS, Filters, Space


@dataclass(frozen=True, slots=True)
class TaggedSegment:
    """A segment that has a label: how surely, and where it is."""

    id: int
    confidence: float
    path: Path


@dataclass(frozen=True, slots=True)
class LabelTags:
    """A label, how many segments that can be found have it, and up to three of the surest, best first."""

    name: str
    count: int
    best: tuple[TaggedSegment, ...] = ()


@dataclass(frozen=True, slots=True)
class Tagged:
    """What was tagged, a label each in the order given; nothing is written by a `dry_run`."""

    labels: tuple[LabelTags, ...]
    space: str
    dry_run: bool = False


def tag_library(
    labels: str | Sequence[str],
    *,
    library: str | Path | None = None,
    one_of: bool = False,
    at_least: float | None = None,
    kind: str | Iterable[str] | None = None,
    under: str | Path | Iterable[str | Path] | None = None,
    weight: float | None = None,
    dry_run: bool = False,
    embedder: Embedder | None = None,
    notify: Notify = resolve.ignore_message,
) -> Tagged:
    """Tag segments with labels, remember these for what is indexed later, and return what was found.

    A segment gets each label of which a search for it is confident, `at_least` (default: CONFIDENT); with
    `one_of` its likeliest label alone, `at_least` so likely (default: 0), where a picture counts `weight`
    (default: WEIGHT; 1 is the picture alone) and its captions the rest. `kind` (default: image, video,
    page) and `under`, as in a search, narrow what is tagged. A label that is there gets other tags instead
    of those it had. `embedder` stands in for the library's model. Raises QueryError and LibraryError.
    """
    place, names = existing_library(library), _normalize_labels(labels)
    how = _build_rule(one_of, at_least, build_filters(kind, under=under), weight)
    how = replace(how, one_of=tuple(names) if one_of else ())

    def choose(space: Space | None) -> Embedder:
        if space is None:
            raise LibraryMissing(place)
        chosen = embedder or resolve.resolve_embedder(
            space.model, fingerprint=space.fingerprint, notify=notify
        )
        if chosen.fingerprint != space.fingerprint:
            raise SpaceMismatch(chosen.name, space.name, describe_differences(space.parts, chosen.parts))
        _validate_labels(names, chosen, one_of)
        return chosen

    if dry_run:  # nothing is locked either
        with closing(Catalog.open(place)) as catalog:
            tally, space = TagCounter(catalog, names), catalog.space()
            chosen = choose(space)
            assert space is not None, "or it was refused"
            for _ in tally.count(match_labels(catalog, space, chosen, names, how)):
                pass  # they are counted
            return _build_result(catalog, space, names, tally, dry_run=True)
    with LibraryWriter(place, choose) as writer:
        space = active_space(writer.catalog)
        tally = write_tags(writer, space, writer.embedder, names, how)
        return _build_result(writer.catalog, space, names, tally, dry_run=False)


def remove_labels(labels: str | Sequence[str], *, library: str | Path | None = None) -> None:
    """Take labels, and the tags they gave, out of a library; raises LibraryError where one is not there."""
    with LibraryWriter(existing_library(library)) as writer:
        delete_labels(writer, _normalize_labels(labels))


def _build_rule(one_of: bool, at_least: float | None, scope: Filters, weight: float | None) -> TagRule:
    """Check and gather what is tagged; raises QueryError."""
    least = (0.0 if one_of else CONFIDENCE_THRESHOLD) if at_least is None else at_least
    if weight is not None and not one_of:
        raise QueryError("A weight is for labels of which exactly one fits (--one-of).")
    share = DEFAULT_IMAGE_WEIGHT if weight is None else weight
    for name, value in (("least confidence", least), ("weight of pictures", share)):
        if not 0 <= value <= 1:
            raise QueryError(f"The {name} is {value}; it must be from 0 to 1.")
    kinds = tuple(kind for kind in KINDS if kind in scope.kinds) or DEFAULT_KINDS
    return TagRule(least, kinds, scope.under, weight=share if one_of else 1.0)


def _validate_labels(names: Sequence[str], embedder: Embedder, one_of: bool) -> None:
    """Raise QueryError where a label cannot be found by --tag, or says nothing to the model."""
    for name in names:
        if len(name) > MAX_PATTERN_LENGTH or "\0" in name:
            raise QueryError(f"{name[:20]!r}... is no label; write at most {MAX_PATTERN_LENGTH} letters.")
        if not embedder.knows(name):
            raise QueryError(f"The label {name!r} has no word that the model reads.")
    if len(names) < 1 + one_of:
        raise QueryError("Give at least two labels to choose from." if one_of else "Give at least one label.")


def _normalize_labels(labels: str | Sequence[str]) -> list[str]:
    """Return each label once, as a filter has it, and on one line."""
    given = [labels] if isinstance(labels, str) else labels
    texts = [normalize("NFC", label.encode("utf-8", "replace").decode()) for label in given]
    names = [" ".join(text.split()) for text in texts]
    return list({name.casefold(): name for name in reversed(names)}.values())[::-1]


def _build_result(
    catalog: Catalog, space: Space, names: Sequence[str], tally: TagCounter, *, dry_run: bool
) -> Tagged:
    """Name the places of what was found."""
    found = []
    for name, count, best in zip(names, tally.counts, tally.best, strict=True):
        pairs = [(segment, sure) for _, segment, sure in best]
        paths = {hit.id: hit.path for hit in reversed(catalog.hits(pairs, space.name, Filters()))}
        examples = [
            TaggedSegment(id_, round(sure, CONFIDENCE_DIGITS), paths[id_])
            for id_, sure in pairs
            if id_ in paths
        ]
        found.append(LabelTags(name, count, tuple(examples)))
    return Tagged(tuple(found), space.name, dry_run)
