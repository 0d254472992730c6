"""Write the tables `labels` and `tags`; stored labels are applied to new segments too.

This is not a `ContentPass`: tags depend on vectors and their calibration, not on files. One mark for each
label (`tagged_to`) replaces a row for each content, and tags are streamed in one transaction with their mark.
Tags also depend on the paths of files and the captions of images, which can change for segments before that
mark; a digest of these (`scope_digest`) is stored with it.
"""

import hashlib
import heapq
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from indexer.store.writer import LibraryWriter
from indexer.tag.matcher import TagRule, Tags, caption_pairs, match_labels
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.embedders.base import Embedder
from retrieval.errors import LibraryError
from retrieval.types import Filters, Space

MAX_BEST_SEGMENTS = 3  # shown of each label


class TagBasis(NamedTuple):
    """What the tags of a label depend on besides vectors: the column `basis`, as JSON."""

    fingerprint: str  # of the space and, unless `one_of`, its calibration
    scope: str = ""  # digest of paths and captions
    changes: int = -1  # the change count of the catalog when the scope was last found unchanged


@dataclass(frozen=True, slots=True)
class StoredLabel:
    """A label in the catalog."""

    name: str
    rule: TagRule
    basis: TagBasis
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
    last = last_segment_id(catalog, space)
    basis = TagBasis(rule_fingerprint(catalog, space, rule), scope_digest(catalog, rule, last))
    row = (json.dumps(asdict(rule)), json.dumps(basis), space.id, last)
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
    """Tag new segments with the stored labels, and all segments if the basis of a label has changed."""
    catalog = writer.catalog
    labels = _stored_labels(catalog)
    if not labels:
        return
    last, due = last_segment_id(catalog, space), defaultdict[tuple[TagRule, int], list[str]](list)
    digest = cache(lambda rule, tagged_to: scope_digest(catalog, rule, tagged_to))
    changes = catalog.change_count()
    for label in labels:
        basis = label.basis
        is_current = basis.fingerprint == rule_fingerprint(catalog, space, label.rule) and (
            basis.changes == changes or basis.scope == digest(label.rule, label.tagged_to)
        )
        if not is_current or label.tagged_to < last:
            due[label.rule, label.tagged_to if is_current else 0].append(label.name)
    for (rule, after), names in due.items():
        write_tags(writer, space, embedder, names, rule, after)
    with writer.db.atomic():  # the next run compares no scope if nothing changes until then
        writer.db.execute(
            """UPDATE labels SET basis = json_set(basis, '$[2]', ?1)
                WHERE basis LIKE '[%' AND json_extract(basis, '$[1]') != ''
                  AND json_extract(basis, '$[2]') != ?1""",
            (catalog.change_count(),),
        )


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


def scope_digest(catalog: Catalog, rule: TagRule, tagged_to: int) -> str:
    """Return a digest of what a rule reads of paths and captions, for the segments up to `tagged_to`.

    It is empty for a rule that reads none.
    """
    parts = []
    if rule.under:
        ids = catalog.allowed_ids(Filters(under=rule.under))
        parts.append(ids[ids <= tagged_to])
    if rule.one_of and rule.weight < 1:
        kinds = [kind for kind in rule.kinds if kind != "text"]
        condition = "s.kind IN (SELECT value FROM json_each(?)) AND s.id <= ?"
        pairs = caption_pairs(catalog, condition, [json.dumps(kinds), tagged_to])
        parts.append(pairs[np.lexsort(pairs.T)])
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(np.int64(len(part)).tobytes() + part.tobytes())
    return sha256.hexdigest() if parts else ""


def last_segment_id(catalog: Catalog, space: Space) -> int:
    """Return the newest segment with a vector."""
    row = catalog.db.execute(f"SELECT max(segment) FROM {vectors_table(space.id)}").fetchone()
    return int(row[0] or 0)


def _stored_labels(catalog: Catalog) -> list[StoredLabel]:
    rows = catalog.db.execute("SELECT name, rule, basis, tagged_to FROM labels ORDER BY name").fetchall()
    return [
        StoredLabel(row["name"], _parse_rule(row["rule"]), _parse_basis(row["basis"]), row["tagged_to"])
        for row in rows
    ]


def _parse_rule(text: str) -> TagRule:
    fields = json.loads(text)
    lists = {key: tuple(fields[key]) for key in ("kinds", "under", "one_of")}
    return TagRule(at_least=fields["at_least"], weight=fields["weight"], **lists)


def _parse_basis(text: str) -> TagBasis:
    """Return a stored basis; that of earlier versions is a fingerprint only."""
    return TagBasis(*json.loads(text)) if text.startswith("[") else TagBasis(text)
