"""Find segments by words in their text and in the names of their files, folders and tags."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.search.keyword_terms import Term, terms
from retrieval.types import Ids, Kind, Scores

COMMON = 0.2  # a word that this share of all texts have says little, as "a" and "on"
FREQUENT = 2_000  # texts; a word of more counts alike in each, as weighing it in each would be slow
EXACT = 10.0  # how much more a quotation or the name of a file counts beside meaning than other words
RUN = 4  # words of the longest tag that is recognised

Source: TypeAlias = Literal["text", "name"]
SOURCES: tuple[Source, ...] = get_args(Source)
_NONE: Ids = np.empty(0, np.int64)

# Where tags are, so that names are looked up there too: those of a content and those of a segment.
LABELS = {
    "keywords": """SELECT min(s.id) FROM keywords k JOIN segments s ON s.content = k.content
                    WHERE k.name = ? COLLATE NOCASE GROUP BY s.content, s.kind""",
    "tags": "SELECT segment FROM tags WHERE name = ? COLLATE NOCASE",
}
# A file's name stands for its first segment of each kind, and for those in which other words are.
_NAMED = """
    WITH named AS (SELECT content FROM files
                    WHERE id IN (SELECT value FROM json_each(?1)) AND state != 'gone' AND reader != 'table')
    SELECT min(id) FROM segments WHERE content IN (SELECT content FROM named) GROUP BY content, kind
    UNION SELECT s.id FROM json_each(?2) j JOIN segments s ON s.id = j.value
           WHERE s.content IN (SELECT content FROM named)
    UNION SELECT d.segment FROM json_each(?2) j JOIN caption_images d ON d.segment = j.value
           WHERE d.file IN (SELECT value FROM json_each(?1))"""


class Found(NamedTuple):
    """Segments that have words of a query, best first; of the scores only the order has a meaning.

    `shares` say which part of the query each has, 1 for all of it, where a rare word is a larger part than a
    frequent one; `weights` how much it counts beside meaning: its part, EXACT times that of an exact word.
    """

    ids: Ids
    scores: Scores
    weights: Scores
    shares: Scores


@dataclass(slots=True)
class Evidence:
    """Which segments have a term, ascending, and how much that counts in each; how rare the term is."""

    rarity: float
    ids: Ids = field(default_factory=lambda: _NONE)
    scores: Scores = field(default_factory=lambda: np.empty(0, np.float32))

    def add(self, ids: Ids, scores: Scores) -> None:
        """Take in more, ascending; a segment counts by the most that is said of it."""
        if not len(self.ids):
            self.ids, self.scores = ids, scores
            return
        every = _union(self.ids, ids)
        best = np.zeros((2, len(every)), np.float32)
        best[0, np.searchsorted(every, self.ids)] = self.scores
        best[1, np.searchsorted(every, ids)] = scores
        self.ids, self.scores = every, best.max(axis=0)


class Way(NamedTuple):
    """One way to look a term up: in which table, what is asked of it, and how much an answer counts."""

    term: Term
    source: Source
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
    ids = _union(*(said.ids for said in evidence.values()))
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
    return Found(ids[order], *(part[order].astype(np.float32) for part in (scores, weights, shares)))


def _gather(db: sqlite3.Connection, asked: Sequence[Term]) -> dict[Term, Evidence]:
    """Return what each term says; one that nothing has says nothing, and a common one is left out."""
    sizes = {source: _one(db, f"SELECT count(*) FROM {source}_words_docsize") for source in SOURCES}
    ways = [way for term in asked for source in SOURCES for way in _ways(term, source)]
    counts = {way: n for way in ways if (n := _count(db, way, _many(sizes[way.source]) + 1))}
    telling = _telling(counts, sizes)
    if counts and not telling:
        counts = {way: _count(db, way, -1) for way in counts}
        telling = [way for way, n in counts.items() if n == min(counts.values())]
    idle = {way.term for way in counts} - {way.term for way in telling}
    rarity = {term: _rarity(0, sum(sizes.values())) for term in asked if term not in idle}
    rarity |= {way.term: _rarity(counts[way], sizes[way.source]) for way in telling}
    evidence = {term: Evidence(rare) for term, rare in rarity.items()}
    for way in telling:
        if way.source == "text":
            evidence[way.term].add(*_texts(db, way, counts[way], sizes["text"]))
    beside = _union(*(said.ids for said in evidence.values()))
    for way in telling:
        if way.source == "name":
            evidence[way.term].add(*_names(db, way, counts[way], sizes["name"], beside))
    for term, ids in _labelled(db, asked):
        if term in evidence:
            evidence[term].add(ids, _alike(ids, len(ids), sizes["name"]))
    return evidence


def _telling(counts: Mapping[Way, int], sizes: Mapping[Source, int]) -> list[Way]:
    """Return the ways to terms that are not common."""
    common = {
        (way.term, way.source)
        for way, n in counts.items()
        if n > _many(sizes[way.source]) and not way.term.quoted
    }
    # A word that is common in texts is common, though but one name has it.
    return [way for way in counts if not common & {(way.term, "text"), (way.term, way.source)}]


def _many(size: int) -> int:
    """Return how many of so many texts or names make a word a common one; of a handful, half."""
    return int(max(COMMON * size, min(10, size / 2)))


def _count(db: sqlite3.Connection, way: Way, most: int) -> int:
    """Count the rows that have a term, but no further than so many; -1 for all."""
    return _one(db, f"SELECT count(*) FROM ({way.rows} LIMIT ?)", (*way.question, most))


def _ways(term: Term, source: Source) -> Iterator[Way]:
    """Yield the ways to look a term up: as words, and within runs of letters where it may be meant so."""
    quoted = '"' + term.text.replace('"', '""') + '"'  # so that nothing in it is an operator
    yield Way(term, source, f"{source}_words", (quoted,))
    if term.piece and len(term.text) > 2:
        share = 1.0 if term.unspaced or term.quoted else 0.5
        yield Way(term, source, f"{source}_pieces", (quoted,), share)
    elif term.unspaced:  # too short for a table of threes, but not for the list of them
        yield Way(term, source, f"{source}_terms", (term.text, term.text + chr(0x10FFFF)))


def _texts(db: sqlite3.Connection, way: Way, n: int, size: int) -> tuple[Ids, Scores]:
    """Return the n texts that have a term, and its BM25 in each: Robertson & Zaragoza, FnTIR 2009."""
    if len(way.question) == 2 or n > FREQUENT:
        ids = _ids(db, way.rows, way.question)
        return ids, way.share * _alike(ids, n, size)
    query = f"SELECT rowid, -bm25({way.table}) FROM {way.table} WHERE {way.table} MATCH ?"
    rows = db.execute(query, way.question).fetchall()
    scores = np.array([row[1] for row in rows], np.float32)
    return np.array([row[0] for row in rows], np.int64), way.share * scores


def _names(db: sqlite3.Connection, way: Way, n: int, size: int, beside: Ids) -> tuple[Ids, Scores]:
    """Return the segments that the n files with a term in their names stand for."""
    files = _ids(db, way.rows, way.question)
    ids = _ids(db, _NAMED, (json.dumps(files.tolist()), json.dumps(beside.tolist())))
    return ids, way.share * _alike(ids, n, size)


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


def _alike(ids: Ids, n: int, size: int) -> Scores:
    """Return the same score for each of the segments."""
    return np.full(len(ids), _rarity(n, size), np.float32)


def _ids(db: sqlite3.Connection, query: str, values: Sequence[object]) -> Ids:
    """Return the ids that a query finds, ascending; as one text, which is three times as fast as rows."""
    row = db.execute(f"WITH found (id) AS ({query}) SELECT group_concat(id) FROM found", values).fetchone()
    return _union(np.fromstring(row[0] or "", np.int64, sep=","))


def _union(*parts: Ids) -> Ids:
    """Return all ids, ascending, each once; np.unique is slower, as these are nearly in order."""
    ids = np.sort(np.concatenate([_NONE, *parts]))
    return ids[np.diff(ids, prepend=-1) > 0]


def _one(db: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> int:
    return int(db.execute(query, values).fetchone()[0])
