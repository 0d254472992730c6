"""The tables `labels` and `tags`, for writing: a label is remembered, so that new segments get it too."""

import heapq
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from indexer.store.writer import LibraryWriter
from indexer.tag.matcher import TagRule, Tags, match_labels
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryError
from retrieval.types import Space

MAX_BEST_SEGMENTS = 3  # segments that are shown of a label


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A label as it is remembered: its tags follow from `basis` and reach the segment `through`."""

    name: str
    rule: TagRule
    fingerprint: str
    tagged_to: int


class TagCounter:
    """How many segments that can be found have each label, and the surest of them, best first."""

    def __init__(self, catalog: Catalog, names: Sequence[str]) -> None:
        self.catalog = catalog
        self.counts = [0] * len(names)
        self.best: list[list[tuple[float, int, float]]] = [[] for _ in names]  # (-score, segment, confidence)

    def count(self, chunks: Iterator[Tags]) -> Iterator[Tags]:
        """Pass the tags on, and count them."""
        for tags in chunks:
            there = np.isin(tags.segments, self.catalog.findable_ids(np.unique(tags.segments)))
            for label in np.unique(tags.labels[there]).tolist():
                mine = there & (tags.labels == label)
                self.counts[label] += int(mine.sum())
                columns = -tags.scores[mine], tags.segments[mine], tags.confidences[mine]
                rows = zip(*(column.tolist() for column in columns), strict=True)
                self.best[label] = heapq.nsmallest(MAX_BEST_SEGMENTS, [*self.best[label], *rows])
            yield tags


def write_tags(
    writer: LibraryWriter,
    space: Space,
    embedder: Embedder,
    names: Sequence[str],
    rule: TagRule,
    after: int = 0,
) -> TagCounter:
    """Replace the tags of these labels after a segment, and remember the labels, in one transaction.

    A label of which this model reads no word has no tags until another model does.
    """
    catalog = writer.catalog
    read = [name for name in names if embedder.knows(name)]
    asked = replace(rule, one_of=tuple(name for name in rule.one_of if embedder.knows(name)))
    tally, many = TagCounter(catalog, read), writer.db.conn.executemany
    row = (
        json.dumps(asdict(rule)),
        rule_fingerprint(catalog, space, rule),
        space.id,
        last_segment_id(catalog, space),
    )
    with writer.db.atomic():
        many("DELETE FROM tags WHERE name = ? AND segment > ?", [(name, after) for name in names])
        for tags in tally.count(match_labels(catalog, space, embedder, read, asked, after)):
            segments, labels, sure, _ = (column.tolist() for column in tags)
            rows = zip(segments, (read[label] for label in labels), sure, strict=True)
            many("INSERT INTO tags (segment, name, confidence) VALUES (?, ?, ?)", rows)
        many(
            "INSERT OR REPLACE INTO labels (name, rule, basis, space, tagged_to) VALUES (?, ?, ?, ?, ?)",
            [(name, *row) for name in names],
        )
    return tally


def update_tags(writer: LibraryWriter, space: Space, embedder: Embedder) -> None:
    """Tag new segments with the labels there are, and all of them anew where the basis has changed."""
    labels = _stored_labels(writer.catalog)
    if not labels:
        return
    last, due = last_segment_id(writer.catalog, space), defaultdict[tuple[TagRule, int], list[str]](list)
    for label in labels:
        same = label.fingerprint == rule_fingerprint(writer.catalog, space, label.rule)
        if not same or label.tagged_to < last:
            due[label.rule, label.tagged_to if same else 0].append(label.name)
    for (how, after), names in due.items():
        write_tags(writer, space, embedder, names, how, after)


def delete_labels(writer: LibraryWriter, names: Sequence[str]) -> None:
    """Forget labels and their tags; raises LibraryError where one is not there."""
    with writer.db.atomic():
        for name in names:
            if not writer.db.execute("DELETE FROM labels WHERE name = ?", (name,)).rowcount:
                there = ", ".join(label.name for label in _stored_labels(writer.catalog)) or "none"
                raise LibraryError(f"There is no label {name!r} in this library; the labels are: {there}.")
            writer.db.execute("DELETE FROM tags WHERE name = ?", (name,))


def rule_fingerprint(catalog: Catalog, space: Space, rule: TagRule) -> str:
    """Return what tags follow from beside the segments: the space and, for single labels, what is usual."""
    usual = {} if rule.one_of else catalog.calibrations(space)
    parts = [f"{kind} {usual['words', kind]}" for kind in rule.kinds if ("words", kind) in usual]
    return "; ".join([space.fingerprint, *parts])


def last_segment_id(catalog: Catalog, space: Space) -> int:
    """Return the newest segment that has a vector."""
    row = catalog.db.execute(f"SELECT max(segment) FROM {vectors_table(space.id)}").fetchone()
    return int(row[0] or 0)


def _stored_labels(catalog: Catalog) -> list[StoredLabel]:
    rows = catalog.db.execute("SELECT name, rule, basis, tagged_to FROM labels ORDER BY name").fetchall()
    return [
        StoredLabel(row["name"], _parse_rule(row["rule"]), row["basis"], row["tagged_to"]) for row in rows
    ]


def _parse_rule(text: str) -> TagRule:
    how = json.loads(text)
    lists = {key: tuple(how[key]) for key in ("kinds", "under", "one_of")}
    return TagRule(at_least=how["at_least"], weight=how["weight"], **lists)
