"""Tag the segments of a library with zero-shot labels; segments that are indexed later are tagged too."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from indexer.store.location import existing_library
from indexer.store.spaces import active_space, space_embedder
from indexer.store.writer import LibraryWriter
from indexer.tag.matcher import CONFIDENCE_DIGITS, TagRule, match_labels
from indexer.tag.options import DEFAULT_OPTIONS, TagOptions
from indexer.tag.tag_table import TagCounter, delete_labels, left_over_alternatives, write_tags
from indexer.tag.zero_shot import DEFAULT_IMAGE_WEIGHT
from indexer.types import Notify, ignore_message
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryMissing, QueryError
from retrieval.normalization import nfc, without_surrogates
from retrieval.query.filters import MAX_PATTERN_LENGTH, build_filters
from retrieval.query.options import SearchOptions
from retrieval.types import CONFIDENCE_THRESHOLD, KINDS, VISUAL_KINDS, Filters, Space


@dataclass(frozen=True, slots=True)
class TaggedSegment:
    """A segment that has a label."""

    id: int
    confidence: float
    path: Path


@dataclass(frozen=True, slots=True)
class LabelTags:
    """A label, how many findable segments have it, and up to three of the best, best first."""

    name: str
    count: int
    best: tuple[TaggedSegment, ...] = ()


@dataclass(frozen=True, slots=True)
class Tagged:
    """The result of tagging, one entry per label in the order given."""

    labels: tuple[LabelTags, ...]
    space: str
    dry_run: bool = False  # nothing was written


def tag_library(
    labels: str | Sequence[str],
    *,
    library: str | Path | None = None,
    options: TagOptions = DEFAULT_OPTIONS,
    dry_run: bool = False,
    embedder: Embedder | None = None,
    notify: Notify = ignore_message,
) -> Tagged:
    """Tag segments with labels, save the labels for segments that are indexed later, and return the counts.

    Args:
        options: Which segments get which label; by default every label that a segment matches better than
            most background queries.
        dry_run: Write nothing, and do not lock the library.
        embedder: Replaces the library's model.

    The tags of an existing label are replaced. With `one_of`, earlier alternatives of these labels that are
    not among them are deleted, so that an image never has two of them. Raises QueryError and LibraryError.
    """
    folder, names = existing_library(library), _normalize_labels(labels)
    rule = _build_rule(names, options)

    def load_embedder(space: Space | None) -> Embedder:
        if space is None:
            raise LibraryMissing(folder)
        loaded = space_embedder(space, embedder, notify)
        _validate_labels(names, loaded, options.one_of)
        return loaded

    if dry_run:
        with closing(Catalog.open(folder)) as catalog:
            counter, space = TagCounter(catalog, names), catalog.space()
            loaded = load_embedder(space)
            assert space is not None, "load_embedder raises"
            for _ in counter.count(match_labels(catalog, space, loaded, names, rule)):
                pass
            return _build_result(catalog, space, names, counter, dry_run=True)
    with LibraryWriter(folder, load_embedder) as writer:
        space = active_space(writer.catalog)
        with writer.db.atomic():
            left_over = left_over_alternatives(writer.catalog, names) if options.one_of else []
            delete_labels(writer, left_over)
            counter = write_tags(writer, space, writer.embedder, names, rule)
        if left_over:
            notify(
                f"No longer a label, because it is not among the new alternatives: {', '.join(left_over)}."
            )
        return _build_result(writer.catalog, space, names, counter, dry_run=False)


def remove_labels(labels: str | Sequence[str], *, library: str | Path | None = None) -> None:
    """Delete labels and their tags; raises LibraryError if a label does not exist."""
    with LibraryWriter(existing_library(library)) as writer:
        delete_labels(writer, _normalize_labels(labels))


def _build_rule(names: Sequence[str], options: TagOptions) -> TagRule:
    """Return the rule of options; raises QueryError."""
    scope = build_filters(options.kind, SearchOptions(under=options.under))
    min_confidence, weight = options.at_least, options.weight
    if min_confidence is None:
        min_confidence = 0.0 if options.one_of else CONFIDENCE_THRESHOLD
    if weight is not None and not options.one_of:
        raise QueryError("A weight requires --one-of.")
    share = DEFAULT_IMAGE_WEIGHT if weight is None else weight
    for name, value in (("confidence", min_confidence), ("weight", share)):
        if not 0 <= value <= 1:
            raise QueryError(f"Invalid {name} {value}. Use a number from 0 to 1.")
    kinds = tuple(kind for kind in KINDS if kind in scope.kinds) or VISUAL_KINDS
    if options.one_of:
        return TagRule(min_confidence, kinds, scope.under, tuple(names), share)
    return TagRule(min_confidence, kinds, scope.under)


def _validate_labels(names: Sequence[str], embedder: Embedder, one_of: bool) -> None:
    """Raise QueryError if a label is too long for --tag, or has no word that the model knows."""
    for name in names:
        if len(name) > MAX_PATTERN_LENGTH or "\0" in name:
            raise QueryError(f"Invalid label {name[:20]!r}... Use at most {MAX_PATTERN_LENGTH} characters.")
        if not embedder.knows(name):
            raise QueryError(f"The label {name!r} has no word that the model knows.")
    if len(names) < 1 + one_of:
        raise QueryError("Give at least two labels to choose from." if one_of else "Give at least one label.")


def _normalize_labels(labels: str | Sequence[str]) -> list[str]:
    """Return labels without duplicates, in NFC and on one line each, as filters have them."""
    sequence = [labels] if isinstance(labels, str) else labels
    texts = [nfc(without_surrogates(label)) for label in sequence]
    names = [" ".join(text.split()) for text in texts]
    return list({name.casefold(): name for name in reversed(names)}.values())[::-1]


def _build_result(
    catalog: Catalog, space: Space, names: Sequence[str], counter: TagCounter, *, dry_run: bool
) -> Tagged:
    """Return the counts of the labels, and the paths of their best segments."""
    tags = []
    for name, count, best in zip(names, counter.counts, counter.best, strict=True):
        pairs = [(segment, confidence) for _, segment, confidence in best]
        paths = {hit.id: hit.path for hit in reversed(catalog.hits(pairs, space.name, Filters()))}
        examples = [
            TaggedSegment(id_, round(confidence, CONFIDENCE_DIGITS), paths[id_])
            for id_, confidence in pairs
            if id_ in paths
        ]
        tags.append(LabelTags(name, count, tuple(examples)))
    return Tagged(tuple(tags), space.name, dry_run)
