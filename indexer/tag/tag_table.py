"""Write the tables `labels` and `tags`; stored labels are applied to new segments too.

This is not a `ContentPass`: tags depend on vectors and their calibration, not on files. One mark for each
label (`tagged_to`) replaces a row for each content, and tags are streamed in one transaction with their mark.
"""

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

MAX_BEST_SEGMENTS = 3  # shown of each label


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A label in the catalog."""

    name: str
    rule: TagRule
    fingerprint: str  # of the space and the calibration that its tags depend on
    tagged_to: int  # the last segment that was compared with it


class TagCounter:
    """Counter of the findable segments with each label, and of the best of them, best first."""

    def __init__(self, catalog: Catalog, names: Sequence[str]) -> None:
        self.catalog = catalog
        self.counts = [0] * len(names)
        self.best: list[list[tuple[float, int, float]]] = [[] for _ in names]  # (-score, segment, confidence)

    def count(self, chunks: Iterator[Tags]) -> Iterator[Tags]:
        """Yield the tags unchanged, and count them."""
        for tags in chunks:
            findable = np.isin(tags.segments, self.catalog.findable_ids(np.unique(tags.segments)))
            for label in np.unique(tags.labels[findable]).tolist():
                mask = findable & (tags.labels == label)
                self.counts[label] += int(mask.sum())
                columns = -tags.scores[mask], tags.segments[mask], tags.confidences[mask]
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
    """Replace the tags of segments after `after`, and save the labels, in one transaction.

    A label without any word that this model knows gets no tags; the next model may know one.
    """
    catalog = writer.catalog
    known = [name for name in names if embedder.knows(name)]
    known_rule = replace(rule, one_of=tuple(name for name in rule.one_of if embedder.knows(name)))
    counter, executemany = TagCounter(catalog, known), writer.db.conn.executemany
    row = (
        json.dumps(asdict(rule)),
        rule_fingerprint(catalog, space, rule),
        space.id,
        last_segment_id(catalog, space),
    )
    with writer.db.atomic():
        executemany("DELETE FROM tags WHERE name = ? AND segment > ?", [(name, after) for name in names])
        for tags in counter.count(match_labels(catalog, space, embedder, known, known_rule, after)):
            segments, labels, confidences, _ = (column.tolist() for column in tags)
            rows = zip(segments, (known[label] for label in labels), confidences, strict=True)
            executemany("INSERT INTO tags (segment, name, confidence) VALUES (?, ?, ?)", rows)
        executemany(
            "INSERT OR REPLACE INTO labels (name, rule, basis, space, tagged_to) VALUES (?, ?, ?, ?, ?)",
            [(name, *row) for name in names],
        )
    return counter


def update_tags(writer: LibraryWriter, space: Space, embedder: Embedder) -> None:
    """Tag new segments with the stored labels, and all segments if a fingerprint has changed."""
    labels = _stored_labels(writer.catalog)
    if not labels:
        return
    last, due = last_segment_id(writer.catalog, space), defaultdict[tuple[TagRule, int], list[str]](list)
    for label in labels:
        is_current = label.fingerprint == rule_fingerprint(writer.catalog, space, label.rule)
        if not is_current or label.tagged_to < last:
            due[label.rule, label.tagged_to if is_current else 0].append(label.name)
    for (rule, after), names in due.items():
        write_tags(writer, space, embedder, names, rule, after)


def delete_labels(writer: LibraryWriter, names: Sequence[str]) -> None:
    """Delete labels and their tags; raises LibraryError if a label does not exist."""
    with writer.db.atomic():
        for name in names:
            if not writer.db.execute("DELETE FROM labels WHERE name = ?", (name,)).rowcount:
                labels = ", ".join(label.name for label in _stored_labels(writer.catalog)) or "none"
                raise LibraryError(f"Label {name!r} does not exist. The labels of this library: {labels}.")
            writer.db.execute("DELETE FROM tags WHERE name = ?", (name,))


def left_over_alternatives(catalog: Catalog, names: Sequence[str]) -> list[str]:
    """Return the labels that were alternatives of one of these names, and are not among them."""
    chosen = {name.casefold() for name in names}
    return [
        label.name
        for label in _stored_labels(catalog)
        if label.name.casefold() not in chosen
        and not chosen.isdisjoint(name.casefold() for name in label.rule.one_of)
    ]


def rule_fingerprint(catalog: Catalog, space: Space, rule: TagRule) -> str:
    """Return what the tags depend on besides segments: the space and, unless `one_of`, its calibration."""
    calibrations = {} if rule.one_of else catalog.calibrations(space)
    parts = [
        f"{kind} {calibrations['words', kind]}" for kind in rule.kinds if ("words", kind) in calibrations
    ]
    return "; ".join([space.fingerprint, *parts])


def last_segment_id(catalog: Catalog, space: Space) -> int:
    """Return the newest segment with a vector."""
    row = catalog.db.execute(f"SELECT max(segment) FROM {vectors_table(space.id)}").fetchone()
    return int(row[0] or 0)


def _stored_labels(catalog: Catalog) -> list[StoredLabel]:
    rows = catalog.db.execute("SELECT name, rule, basis, tagged_to FROM labels ORDER BY name").fetchall()
    return [
        StoredLabel(row["name"], _parse_rule(row["rule"]), row["basis"], row["tagged_to"]) for row in rows
    ]


def _parse_rule(text: str) -> TagRule:
    fields = json.loads(text)
    lists = {key: tuple(fields[key]) for key in ("kinds", "under", "one_of")}
    return TagRule(at_least=fields["at_least"], weight=fields["weight"], **lists)
