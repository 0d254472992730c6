"""Find segments by words in their text and in the names of their files, folders and tags."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from retrieval.catalog import Catalog
from retrieval.records import Ids, Kind, Scores
from retrieval.terms import Term, terms

COMMON = 0.2  # a word that this share of all texts have says little, as "a" and "on"
FREQUENT = 5_000  # texts; a word of more counts alike in each, as weighing it in each would be slow
EXACT = 10.0  # how much more a quotation or the name of a file counts beside meaning than other words
RUN = 4  # words of the longest tag that is recognised

Source: TypeAlias = Literal["text", "name"]
SOURCES: tuple[Source, ...] = get_args(Source)
Counts: TypeAlias = Mapping[tuple[Term, Source], int]

# Where tags are, so that names are looked up there too: those of a content and those of a segment.
LABELS = {
    "keywords": """SELECT min(s.id) FROM keywords k JOIN segments s ON s.content = k.content
                    WHERE k.name = ? COLLATE NOCASE GROUP BY s.content, s.kind""",
    "tags": "SELECT segment FROM tags WHERE name = ? COLLATE NOCASE",
}
# A file's name stands for its first segment of each kind, and for those in which other words are.
_NAMED = """
    WITH named AS (SELECT content FROM files WHERE id IN (SELECT value FROM json_each(?)) AND state != 'gone')
    SELECT min(id) FROM segments WHERE content IN (SELECT content FROM named) GROUP BY content, kind
    UNION SELECT s.id FROM json_each(?) j JOIN segments s ON s.id = j.value
           WHERE s.content IN (SELECT content FROM named)"""


class Found(NamedTuple):
    """Segments that have words of a query, best first; of the scores only the order has a meaning.

    `weights` say how much each counts beside meaning: the part of the query that it has, 1 for all of it,
    where a rare word is a larger part than a frequent one, and an exact one is EXACT times its part.
    """

    ids: Ids
    scores: Scores
    weights: Scores


@dataclass(slots=True)
class Evidence:
    """Which segments have a term, ascending, and how much that counts in each; how rare the term is."""

    rarity: float
    ids: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    scores: Scores = field(default_factory=lambda: np.empty(0, np.float32))

    def add(self, ids: Ids, scores: Scores) -> None:
        """Take in more; a segment counts by the most that is said of it."""
        every, at = np.unique(np.concatenate([self.ids, ids]), return_inverse=True)
        best = np.zeros(len(every), np.float32)
        np.maximum.at(best, at, np.concatenate([self.scores, scores]))
        self.ids, self.scores = every, best


class Way(NamedTuple):
    """One way to look a term up: a keyword table, what is asked of it, and how much an answer counts."""

    table: str
    question: tuple[str, ...]
    share: float = 1.0

    @property
    def rows(self) -> str:
        """Return the SQL of the rows that have the term."""
        if len(self.question) == 2:  # a vocabulary, from one piece to another
            return f"SELECT DISTINCT doc FROM {self.table} WHERE term >= ? AND term < ?"
        return f"SELECT rowid FROM {self.table} WHERE {self.table} MATCH ?"


def find(
    catalog: Catalog,
    words: str,
    *,
    kinds: Collection[Kind] = (),
    allowed: Ids | None = None,
    count: int = 1_000,
) -> Found:
    """Return the best `count` segments that have words of a query; those that have them all come first.

    Texts are weighed by BM25, names and tags by how rare they are. A quoted phrase must be there. A word
    that is common says nothing beside one that is not. `allowed` are the ids that pass, ascending.
    Segments of files that are gone may be among them.
    """
    evidence = _gather(catalog.db, terms(words))
    every = sum(said.rarity for said in evidence.values())
    ids = np.unique(np.concatenate([np.empty(0, np.int64), *(said.ids for said in evidence.values())]))
    scores, shares, weights = np.zeros((3, len(ids)))
    wanted = np.ones(len(ids), bool)
    for term, said in evidence.items():
        at = np.searchsorted(ids, said.ids)
        scores[at] += said.scores
        shares[at] += said.rarity / every
        weights[at] += said.rarity / every * (EXACT if term.exact else 1)
        if term.quoted:
            wanted &= np.isin(ids, said.ids)
    scores += (shares > 1 - 1e-6) * scores.max(initial=0)
    if allowed is not None:
        wanted &= np.isin(ids, allowed)
    if kinds:
        wanted &= np.isin(ids, _of_kinds(catalog.db, ids[wanted], kinds))
    order = np.flatnonzero(wanted)
    order = order[np.lexsort((ids[order], -scores[order]))][:count]
    return Found(ids[order], scores[order].astype(np.float32), weights[order].astype(np.float32))


def _gather(db: sqlite3.Connection, asked: Sequence[Term]) -> dict[Term, Evidence]:
    """Return what each term says; one that nothing has says nothing, and a common one is left out."""
    sizes = {source: _one(db, f"SELECT count(*) FROM {source}_words_docsize") for source in SOURCES}
    counts = {(term, source): _count(db, term, source) for term in asked for source in SOURCES}
    telling = _telling({key: count for key, count in counts.items() if count}, sizes)
    idle = {term for (term, _), count in counts.items() if count} - {term for term, _ in telling}
    evidence = {
        term: Evidence(max(_rarity(counts[term, source], sizes[source]) for source in SOURCES))
        for term in asked
        if term not in idle
    }
    for term, source in telling:
        if source == "text":
            for way in _ways(term, source):
                evidence[term].add(*_texts(db, way, sizes["text"]))
    beside = sorted({int(id_) for said in evidence.values() for id_ in said.ids})
    for term, source in telling:
        if source == "name":
            for way in _ways(term, source):
                evidence[term].add(*_names(db, way, sizes["name"], beside))
    for term, ids in _labelled(db, asked):
        if term in evidence:
            evidence[term].add(ids, np.full(len(ids), _rarity(len(ids), sizes["name"]), np.float32))
    return evidence


def _telling(counts: Counts, sizes: Mapping[Source, int]) -> list[tuple[Term, Source]]:
    """Return where which terms are worth looking up: the uncommon ones, or else the rarest there are."""

    def is_common(term: Term, source: Source) -> bool:
        size = sizes[source]
        return not term.quoted and counts.get((term, source), 0) > max(COMMON * size, min(10, size / 2))

    # A word that is common in texts is common, though but one name has it.
    found = [key for key in counts if not is_common(key[0], "text") and not is_common(*key)]
    rarest = min(counts.values(), default=0)
    return found or [key for key, count in counts.items() if count == rarest]


def _ways(term: Term, source: Source) -> Iterator[Way]:
    """Yield the ways to look a term up: as words, and within runs of letters where it may be meant so."""
    quoted = '"' + term.text.replace('"', '""') + '"'  # so that nothing in it is an operator
    yield Way(f"{source}_words", (quoted,))
    if term.piece and len(term.text) > 2:
        yield Way(f"{source}_pieces", (quoted,), 1.0 if term.unspaced or term.quoted else 0.5)
    elif term.unspaced:
        yield Way(f"{source}_terms", (term.text, term.text + chr(0x10FFFF)))


def _count(db: sqlite3.Connection, term: Term, source: Source) -> int:
    """Return how many rows have a term, however they have it."""
    return max(_one(db, f"SELECT count(*) FROM ({way.rows})", way.question) for way in _ways(term, source))


def _texts(db: sqlite3.Connection, way: Way, size: int) -> tuple[Ids, Scores]:
    """Return the texts that have a term, and its BM25 in each: Robertson & Zaragoza, FnTIR 2009."""
    n = _one(db, f"SELECT count(*) FROM ({way.rows})", way.question)
    if len(way.question) == 2 or n > FREQUENT:
        ids = _ids(db, way.rows, way.question)
        return ids, way.share * np.full(len(ids), _rarity(n, size), np.float32)
    query = f"SELECT rowid, -bm25({way.table}) FROM {way.table} WHERE {way.table} MATCH ?"
    rows = db.execute(query, way.question).fetchall()
    scores = np.array([row[1] for row in rows], np.float32)
    return np.array([row[0] for row in rows], np.int64), way.share * scores


def _names(db: sqlite3.Connection, way: Way, size: int, beside: Sequence[int]) -> tuple[Ids, Scores]:
    """Return the segments that files with a term in their names stand for."""
    files = _ids(db, way.rows, way.question)
    ids = _ids(db, _NAMED, (json.dumps(files.tolist()), json.dumps(beside)))
    return ids, way.share * np.full(len(ids), _rarity(len(files), size), np.float32)


def _labelled(db: sqlite3.Connection, asked: Sequence[Term]) -> Iterator[tuple[Term, Ids]]:
    """Yield each term of a tag with the segments that have the tag; tags may be of several words."""
    there = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    runs = [asked[at : at + size] for size in range(1, RUN + 1) for at in range(len(asked) - size + 1)]
    for table in LABELS.keys() & there:
        for run in runs:
            ids = _ids(db, LABELS[table], (" ".join(term.text for term in run),))
            yield from ((term, ids) for term in run)


def _of_kinds(db: sqlite3.Connection, ids: Ids, kinds: Collection[Kind]) -> Ids:
    query = """SELECT id FROM segments WHERE id IN (SELECT value FROM json_each(?))
                  AND kind IN (SELECT value FROM json_each(?))"""
    return _ids(db, query, (json.dumps(ids.tolist()), json.dumps(sorted(kinds))))


def _rarity(n: int, size: int) -> float:
    """Return how much it says that n of so many have something, as BM25 has it; never nothing."""
    return float(max(1e-6, np.log(max(1e-6, (size - n + 0.5) / (n + 0.5)))))


def _ids(db: sqlite3.Connection, query: str, values: Sequence[object]) -> Ids:
    rows = db.execute(query, values)
    rows.row_factory = None
    return np.fromiter((id_ for (id_,) in rows), dtype=np.int64)


def _one(db: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> int:
    return int(db.execute(query, values).fetchone()[0])
