"""Tag the segments of a library with zero-shot labels; segments that are indexed later are tagged too."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from indexer.store.location import existing_library
from indexer.store.spaces import active_space, space_embedder
from indexer.store.writer import LibraryWriter
from indexer.tag.matcher import CONFIDENCE_DIGITS, TagRule, match_labels
from indexer.tag.tag_table import TagCounter, delete_labels, write_tags
from indexer.tag.zero_shot import DEFAULT_IMAGE_WEIGHT
from indexer.types import Notify, ignore_message
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryMissing, QueryError
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
    one_of: bool = False,
    at_least: float | None = None,
    kind: str | Iterable[str] | None = None,
    under: str | Path | Iterable[str | Path] | None = None,
    weight: float | None = None,
    dry_run: bool = False,
    embedder: Embedder | None = None,
    notify: Notify = ignore_message,
) -> Tagged:
    """Tag segments with labels, save the labels for segments that are indexed later, and return the counts.

    Args:
        one_of: Give each segment its most probable label only; otherwise every label that a search for it
            would find with confidence.
        at_least: Least confidence (default: `CONFIDENCE_THRESHOLD`), or least probability with `one_of`
            (default: 0).
        kind: Kinds to tag (default: image, video, page).
        under: Folders to tag, as in a search.
        weight: With `one_of`, the weight of an image; its captions have the rest (default:
            `DEFAULT_IMAGE_WEIGHT`; 1 ignores captions).
        dry_run: Write nothing, and do not lock the library.
        embedder: Replaces the library's model.

    The tags of an existing label are replaced. Raises QueryError and LibraryError.
    """
    folder, names = existing_library(library), _normalize_labels(labels)
    rule = _build_rule(one_of, at_least, build_filters(kind, SearchOptions(under=under)), weight)
    rule = replace(rule, one_of=tuple(names) if one_of else ())

    def load_embedder(space: Space | None) -> Embedder:
        if space is None:
            raise LibraryMissing(folder)
        loaded = space_embedder(space, embedder, notify)
        _validate_labels(names, loaded, one_of)
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
        counter = write_tags(writer, space, writer.embedder, names, rule)
        return _build_result(writer.catalog, space, names, counter, dry_run=False)


def remove_labels(labels: str | Sequence[str], *, library: str | Path | None = None) -> None:
    """Delete labels and their tags; raises LibraryError if a label does not exist."""
    with LibraryWriter(existing_library(library)) as writer:
        delete_labels(writer, _normalize_labels(labels))


def _build_rule(one_of: bool, at_least: float | None, scope: Filters, weight: float | None) -> TagRule:
    """Return the rule of the arguments of `tag_library`; raises QueryError."""
    min_confidence = (0.0 if one_of else CONFIDENCE_THRESHOLD) if at_least is None else at_least
    if weight is not None and not one_of:
        raise QueryError("A weight requires --one-of.")
    share = DEFAULT_IMAGE_WEIGHT if weight is None else weight
    for name, value in (("confidence", min_confidence), ("weight", share)):
        if not 0 <= value <= 1:
            raise QueryError(f"Invalid {name} {value}. Use a number from 0 to 1.")
    kinds = tuple(kind for kind in KINDS if kind in scope.kinds) or VISUAL_KINDS
    return TagRule(min_confidence, kinds, scope.under, weight=share if one_of else 1.0)


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
    texts = [normalize("NFC", label.encode("utf-8", "replace").decode()) for label in sequence]
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
