"""Keyword search in the texts of segments and the names of their files, folders and tags."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import DESCRIBES_ITSELF
from retrieval.search.keyword_terms import KeywordTerm, split_terms
from retrieval.types import Ids, Kind, Scores

MIN_COMMON_SHARE = 0.2  # a word in this share of all texts is common and carries little, like "a" and "on"
MAX_BM25_TEXTS = 2_000  # a word in more texts has the same score in each, because BM25 of each would be slow
EXACT_MATCH_WEIGHT = 10.0  # weight in fusion of a quotation or a file name, relative to other words
MAX_TAG_WORDS = 4  # words of the longest recognized tag

KeywordSource: TypeAlias = Literal["text", "name"]
KEYWORD_SOURCES: tuple[KeywordSource, ...] = get_args(KeywordSource)
_NO_IDS: Ids = np.empty(0, np.int64)

# Names are looked up in the tags of contents and of segments, too.
TAG_QUERIES = {
    "keywords": """SELECT min(s.id) FROM keywords k JOIN segments s ON s.content = k.content
                    WHERE k.name = ? COLLATE NOCASE GROUP BY s.content, s.kind""",
    "tags": "SELECT segment FROM tags WHERE name = ? COLLATE NOCASE",
}
# A file's name matches its first segment of each kind, and its segments that contain other words.
_NAMED_SEGMENTS_QUERY = f"""
    WITH named AS (SELECT content FROM files
                    WHERE id IN (SELECT value FROM json_each(?1)) AND state != 'gone'
                      AND {DESCRIBES_ITSELF})
    SELECT min(id) FROM segments WHERE content IN (SELECT content FROM named) GROUP BY content, kind
    UNION SELECT s.id FROM json_each(?2) j JOIN segments s ON s.id = j.value
           WHERE s.content IN (SELECT content FROM named)
    UNION SELECT d.segment FROM json_each(?2) j JOIN caption_images d ON d.segment = j.value
           WHERE d.file IN (SELECT value FROM json_each(?1))"""


class KeywordMatches(NamedTuple):
    """Segments that contain words of a query, best first."""

    ids: Ids
    scores: Scores  # only their order is meaningful
    weights: Scores  # in fusion: the share, with exact words counting EXACT_MATCH_WEIGHT times
    shares: Scores  # of the query, to 1 for all words; a rare word is a larger share than a frequent one

    def part(self, rows: slice) -> "KeywordMatches":
        """Return the matches at these positions."""
        return KeywordMatches(self.ids[rows], self.scores[rows], self.weights[rows], self.shares[rows])


@dataclass(slots=True)
class TermMatches:
    """The segments that contain a term, ascending, with its score in each, and its rarity (IDF)."""

    idf: float
    ids: Ids = field(default_factory=lambda: _NO_IDS)
    scores: Scores = field(default_factory=lambda: np.empty(0, np.float32))

    def add(self, ids: Ids, scores: Scores) -> None:
        """Merge further matches, ascending; a segment keeps its highest score."""
        if not len(self.ids):
            self.ids, self.scores = ids, scores
            return
        all_ids = _union(self.ids, ids)
        best = np.zeros((2, len(all_ids)), np.float32)
        best[0, np.searchsorted(all_ids, self.ids)] = self.scores
        best[1, np.searchsorted(all_ids, ids)] = scores
        self.ids, self.scores = all_ids, best.max(axis=0)


class Lookup(NamedTuple):
    """One way to look up a term: a table, the parameters of its query, and the weight of a match."""

    term: KeywordTerm
    source: KeywordSource
    table: str
    parameters: tuple[str, ...]
    weight: float = 1.0

    @property
    def sql(self) -> str:
        """Return the SQL that selects the rows with the term."""
        if len(self.parameters) == 2:  # a range of a vocabulary
            return f"SELECT DISTINCT doc FROM {self.table} WHERE term >= ? AND term < ?"
        return f"SELECT rowid FROM {self.table} WHERE {self.table} MATCH ?"


def keyword_search(
    catalog: Catalog,
    words: str,
    *,
    kinds: Collection[Kind] = (),
    allowed: Ids | None = None,
    count: int | None = 1_000,
) -> KeywordMatches:
    """Return the best `count` segments, or all, with words of a query; those with all words come first.

    Texts are scored by BM25, names and tags by their rarity. A quoted phrase is required. Common words are
    ignored unless all words are common. `allowed` are the ids that pass the filters, ascending. Segments of
    deleted files may be included.
    """
    matches = _match_terms(catalog.db, split_terms(words))
    total_idf = sum(term_matches.idf for term_matches in matches.values())
    ids = _union(*(term_matches.ids for term_matches in matches.values()))
    scores, shares, weights = np.zeros((3, len(ids)))
    wanted = np.ones(len(ids), bool)
    for term, term_matches in matches.items():
        at = np.searchsorted(ids, term_matches.ids)
        scores[at] += term_matches.scores
        shares[at] += term_matches.idf / total_idf
        weights[at] += term_matches.idf / total_idf * (EXACT_MATCH_WEIGHT if term.is_exact else 1)
        if term.quoted:
            wanted &= np.isin(ids, term_matches.ids)
    scores += (shares > 1 - 1e-6) * scores.max(initial=0)
    if allowed is not None:
        wanted &= np.isin(ids, allowed)
    if kinds:
        wanted &= np.isin(ids, _filter_by_kind(catalog.db, ids[wanted], kinds))
    order = np.flatnonzero(wanted)
    order = order[np.lexsort((ids[order], -scores[order]))][:count]
    return KeywordMatches(ids[order], *(part[order].astype(np.float32) for part in (scores, weights, shares)))


def _match_terms(db: sqlite3.Connection, terms: Sequence[KeywordTerm]) -> dict[KeywordTerm, TermMatches]:
    """Return the matches of each term; common terms are left out."""
    sizes = {
        source: _query_int(db, f"SELECT count(*) FROM {source}_words_docsize") for source in KEYWORD_SOURCES
    }
    lookups = [lookup for term in terms for source in KEYWORD_SOURCES for lookup in _lookups(term, source)]
    counts = {
        lookup: n
        for lookup in lookups
        if (n := _count_rows(db, lookup, _common_threshold(sizes[lookup.source]) + 1))
    }
    discriminative = _discriminative(counts, sizes)
    if counts and not discriminative:
        counts = {lookup: _count_rows(db, lookup, -1) for lookup in counts}
        discriminative = [lookup for lookup, n in counts.items() if n == min(counts.values())]
    common_terms = {lookup.term for lookup in counts} - {lookup.term for lookup in discriminative}
    rarity = {term: _idf(0, sum(sizes.values())) for term in terms if term not in common_terms}
    rarity |= {lookup.term: _idf(counts[lookup], sizes[lookup.source]) for lookup in discriminative}
    matches = {term: TermMatches(rare) for term, rare in rarity.items()}
    for lookup in discriminative:
        if lookup.source == "text":
            matches[lookup.term].add(*_match_texts(db, lookup, counts[lookup], sizes["text"]))
    text_ids = _union(*(term_matches.ids for term_matches in matches.values()))
    for lookup in discriminative:
        if lookup.source == "name":
            matches[lookup.term].add(*_match_names(db, lookup, counts[lookup], sizes["name"], text_ids))
    for term, ids in _match_tags(db, terms):
        if term in matches:
            matches[term].add(ids, _uniform_scores(ids, len(ids), sizes["name"]))
    return matches


def _discriminative(counts: Mapping[Lookup, int], sizes: Mapping[KeywordSource, int]) -> list[Lookup]:
    """Return the lookups of terms that are not common."""
    common = {
        (lookup.term, lookup.source)
        for lookup, n in counts.items()
        if n > _common_threshold(sizes[lookup.source]) and not lookup.term.quoted
    }
    # A word that is common in texts is common even if only one name contains it.
    return [lookup for lookup in counts if not common & {(lookup.term, "text"), (lookup.term, lookup.source)}]


def _common_threshold(size: int) -> int:
    """Return the number of texts or names above which a word is common; half of a small number."""
    return int(max(MIN_COMMON_SHARE * size, min(10, size / 2)))


def _count_rows(db: sqlite3.Connection, lookup: Lookup, limit: int) -> int:
    """Count the rows with a term, at most `limit`; -1 for no limit."""
    return _query_int(db, f"SELECT count(*) FROM ({lookup.sql} LIMIT ?)", (*lookup.parameters, limit))


def _lookups(term: KeywordTerm, source: KeywordSource) -> Iterator[Lookup]:
    """Yield the lookups of a term: as a word, and as a substring if that may be intended."""
    quoted = '"' + term.text.replace('"', '""') + '"'  # quoted, so that it contains no operators
    yield Lookup(term, source, f"{source}_words", (quoted,))
    if term.is_substring and len(term.text) > 2:
        share = 1.0 if term.is_unspaced or term.quoted else 0.5
        yield Lookup(term, source, f"{source}_pieces", (quoted,), share)
    elif term.is_unspaced:  # too short for the trigram table, but not for its vocabulary
        yield Lookup(term, source, f"{source}_terms", (term.text, term.text + chr(0x10FFFF)))


def _match_texts(db: sqlite3.Connection, lookup: Lookup, n: int, size: int) -> tuple[Ids, Scores]:
    """Return the n texts with a term and its BM25 score in each (Robertson & Zaragoza, FnTIR 2009)."""
    if len(lookup.parameters) == 2 or n > MAX_BM25_TEXTS:
        ids = _query_ids(db, lookup.sql, lookup.parameters)
        return ids, lookup.weight * _uniform_scores(ids, n, size)
    query = f"SELECT rowid, -bm25({lookup.table}) FROM {lookup.table} WHERE {lookup.table} MATCH ?"
    rows = db.execute(query, lookup.parameters).fetchall()
    scores = np.array([row[1] for row in rows], np.float32)
    return np.array([row[0] for row in rows], np.int64), lookup.weight * scores


def _match_names(
    db: sqlite3.Connection, lookup: Lookup, n: int, size: int, matched_ids: Ids
) -> tuple[Ids, Scores]:
    """Return the segments matched by the n files with a term in their names."""
    files = _query_ids(db, lookup.sql, lookup.parameters)
    ids = _query_ids(
        db, _NAMED_SEGMENTS_QUERY, (json.dumps(files.tolist()), json.dumps(matched_ids.tolist()))
    )
    return ids, lookup.weight * _uniform_scores(ids, n, size)


def _match_tags(db: sqlite3.Connection, terms: Sequence[KeywordTerm]) -> Iterator[tuple[KeywordTerm, Ids]]:
    """Yield each term of a tag with the segments of the tag; a tag may have several words."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    runs = [
        terms[at : at + size] for size in range(1, MAX_TAG_WORDS + 1) for at in range(len(terms) - size + 1)
    ]
    for table in TAG_QUERIES.keys() & tables:
        for run in runs:
            ids = _query_ids(db, TAG_QUERIES[table], (" ".join(term.text for term in run),))
            yield from ((term, ids) for term in run)


def _filter_by_kind(db: sqlite3.Connection, ids: Ids, kinds: Collection[Kind]) -> Ids:
    query = """SELECT id FROM segments WHERE id IN (SELECT value FROM json_each(?))
                  AND kind IN (SELECT value FROM json_each(?))"""
    return _query_ids(db, query, (json.dumps(ids.tolist()), json.dumps(sorted(kinds))))


def _idf(n: int, size: int) -> float:
    """Return the inverse document frequency of BM25 for n of `size` documents, at least 1e-6."""
    return float(max(1e-6, np.log(max(1e-6, (size - n + 0.5) / (n + 0.5)))))


def _uniform_scores(ids: Ids, n: int, size: int) -> Scores:
    """Return the same score for each of the segments."""
    return np.full(len(ids), _idf(n, size), np.float32)


def _query_ids(db: sqlite3.Connection, query: str, values: Sequence[object]) -> Ids:
    """Return the ids of a query, ascending; read as one text, three times as fast as rows."""
    row = db.execute(f"WITH found (id) AS ({query}) SELECT group_concat(id) FROM found", values).fetchone()
    return _union(np.fromstring(row[0] or "", np.int64, sep=","))


def _union(*parts: Ids) -> Ids:
    """Return all distinct ids, ascending; faster than np.unique, as the ids are nearly sorted."""
    ids = np.sort(np.concatenate([_NO_IDS, *parts]))
    return ids[np.diff(ids, prepend=-1) > 0]


def _query_int(db: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> int:
    return int(db.execute(query, values).fetchone()[0])
