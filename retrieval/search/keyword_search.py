"""Keyword search in the texts of segments and the names of their files, folders and tags."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial, reduce
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reader import Catalog
from retrieval.id_sets import is_member, union
from retrieval.search.keyword_terms import KeywordTerm, split_terms
from retrieval.types import Ids, Kind, Scores

MIN_COMMON_SHARE = 0.2  # a word in this share of all texts is common and carries little, like "a" and "on"
MAX_BM25_TEXTS = 2_000  # a word in more texts has the same score in each, because BM25 of each would be slow
INNER_MATCH_SHARE = 0.5  # of a word that is inside a longer word: "tractor" in "extractor"
MIN_REQUIRED_WEIGHT = 0.1  # words with a smaller share of the largest weight need not be in a hit
MAX_TAG_WORDS = 4  # words of the longest recognized tag

KeywordSource: TypeAlias = Literal["text", "name"]
KEYWORD_SOURCES: tuple[KeywordSource, ...] = get_args(KeywordSource)
_NO_IDS: Ids = np.empty(0, np.int64)

# The keywords that people wrote into files count as names. The labels that a model gave do not: they are
# guesses of the ranking by meaning, and would confirm themselves.
_KNOWN_TAGS_QUERY = """SELECT j.key FROM json_each(?) j
                        WHERE EXISTS (SELECT 1 FROM keywords k WHERE k.name = j.value COLLATE NOCASE)
                        ORDER BY j.key"""
_TAG_QUERY = """SELECT min(s.id) FROM keywords k JOIN segments s ON s.content = k.content
                 WHERE k.name = ? COLLATE NOCASE GROUP BY s.content, s.kind"""


class Tier(IntEnum):
    """How a segment contains the words of a query, best first."""

    ALL_WORDS = 0  # all of them, as words
    ALL_STARTS = 1  # all of them, some as the start of a longer word
    EXACT = 2  # all quotations, file names and long numbers
    SOME_WORDS = 3


class KeywordMatches(NamedTuple):
    """Segments that contain words of a query, by tier, then by share, score and id."""

    ids: Ids
    tiers: NDArray[np.int8]
    shares: Scores  # of the query, to 1 for all words; a rare word is a larger share than a frequent one
    scores: Scores  # BM25; only their order is meaningful

    def part(self, rows: slice | NDArray[np.bool_] | Ids) -> "KeywordMatches":
        """Return the matches at these positions."""
        return KeywordMatches(self.ids[rows], self.tiers[rows], self.shares[rows], self.scores[rows])


@dataclass(slots=True)
class TermMatches:
    """The segments that contain a term, ascending, with its score in each, and its rarity (IDF)."""

    idf: float
    ids: Ids = field(default_factory=lambda: _NO_IDS)
    scores: Scores = field(default_factory=lambda: np.empty(0, np.float32))
    word_ids: Ids = field(default_factory=lambda: _NO_IDS)  # that contain it as a word
    start_ids: Ids = field(default_factory=lambda: _NO_IDS)  # also as the start of a longer word
    name_ids: Ids = field(default_factory=lambda: _NO_IDS)  # that have it in a name or a tag

    def add(self, ids: Ids, scores: Scores, *, is_word: bool, is_start: bool, is_name: bool) -> None:
        """Merge further matches, ascending; a segment keeps its highest score."""
        self.word_ids = union(self.word_ids, ids) if is_word else self.word_ids
        self.start_ids = union(self.start_ids, ids) if is_start else self.start_ids
        self.name_ids = union(self.name_ids, ids) if is_name else self.name_ids
        if not len(self.ids):
            self.ids, self.scores = ids, scores
            return
        all_ids = union(self.ids, ids)
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
    def is_word(self) -> bool:
        """Return True if the match is a word, or a part of a longer word that the term is meant to be."""
        return self.weight == 1 or self.term.is_exact

    @property
    def is_start(self) -> bool:
        """Return True if the match is a word or the start of a longer one."""
        return self.is_word or self.parameters[0].endswith("*")

    @property
    def sql(self) -> str:
        """Return the SQL that selects the rows with the term."""
        if len(self.parameters) == 2:  # a range of a vocabulary
            return f"SELECT DISTINCT doc FROM {self.table} WHERE term >= ? AND term < ?"
        return f"SELECT rowid FROM {self.table} WHERE {self.table} MATCH ?"


def keyword_search(
    catalog: Catalog,
    words: str | Sequence[KeywordTerm],
    *,
    without: Sequence[Sequence[KeywordTerm]] = (),
    kinds: Collection[Kind] = (),
    allowed: Ids | None = None,
    query_share: float = 1.0,
    count: int | None = 1_000,
) -> KeywordMatches:
    """Return the best `count` segments, or all, with words of a query; those with all words come first.

    Texts are scored by BM25, names and tags by their rarity. A quoted phrase is required. Common words are
    ignored unless all words are common. A name is seldom a sentence, so if a word is in a segment's name,
    words that are nowhere in the library are not missed in it, unless most words are nowhere. Segments with
    all terms of any of `without` are left out. `allowed` are the ids that pass the filters, ascending.
    `query_share` is less than 1 if the query consists not only of words; then no segment has all of it.
    Segments of deleted files may be included.
    """
    terms = split_terms(words) if isinstance(words, str) else words
    matches = _match_terms(catalog, terms)
    ids = union(*(term_matches.ids for term_matches in matches.values()))
    scores = np.zeros(len(ids), np.float32)
    wanted = np.ones(len(ids), bool)
    for term, term_matches in matches.items():
        scores[np.searchsorted(ids, term_matches.ids)] += term.weight * term_matches.scores
        if term.quoted:
            wanted &= np.isin(ids, term_matches.ids)
    shares, tiers = _rate(ids, matches)
    if query_share < 1:
        shares, tiers = shares * query_share, np.full(len(ids), Tier.SOME_WORDS, np.int8)
    for excluded in without:
        wanted &= np.isin(ids, _ids_with_all(catalog, excluded), invert=True)
    if allowed is not None:
        wanted &= is_member(ids, allowed)
    if kinds:
        of_kinds = catalog.named_segments.filter_by_kind(
            catalog.db, ids[wanted], kinds, catalog.change_count()
        )
        wanted &= is_member(ids, of_kinds)
    found = KeywordMatches(ids, tiers, shares, scores).part(wanted)
    return found.part(np.lexsort((found.ids, -found.scores, -found.shares, found.tiers))[:count])


def _rate(ids: Ids, matches: Mapping[KeywordTerm, TermMatches]) -> tuple[Scores, NDArray[np.int8]]:
    """Return the share of the query that each segment contains, and its tier."""
    shares, found = np.zeros((2, len(ids)), np.float32)
    has_name = np.zeros(len(ids), bool)
    largest = max((term.weight for term in matches), default=1.0)
    # Per segment: a required term is missing; one is a part of a longer word; an exact term is missing.
    lacks, is_part, lacks_exact = np.zeros((3, len(ids)), bool)
    weights = {term: term.weight * term_matches.idf for term, term_matches in matches.items()}
    for term, term_matches in matches.items():
        rows = np.searchsorted(ids, term_matches.ids)
        is_inner = np.isin(term_matches.ids, term_matches.start_ids, invert=True)
        found[rows] += weights[term] * np.where(is_inner, np.float32(INNER_MATCH_SHARE), np.float32(1))
        has_name[np.searchsorted(ids, term_matches.name_ids)] = True
    unknown = {term for term, term_matches in matches.items() if not len(term_matches.ids)}
    forgives = 2 * len(unknown) <= len(matches)
    for term, term_matches in matches.items():
        missing = np.isin(ids, term_matches.ids, invert=True)
        lacks_exact |= missing & term.is_exact
        if term.weight >= MIN_REQUIRED_WEIGHT * largest:
            inner = np.isin(ids, term_matches.start_ids, invert=True)
            lacks |= missing & ~has_name if forgives and term in unknown else inner
            is_part |= ~missing & np.isin(ids, term_matches.word_ids, invert=True)
    total = sum(weights.values())
    total_of_known = total - sum(weights[term] for term in unknown)
    if total:
        shares = np.asarray(found / np.where(has_name & forgives, total_of_known, total), np.float32)
    has_exact = any(term.is_exact for term in matches) & ~lacks_exact
    tiers = np.full(len(ids), Tier.SOME_WORDS, np.int8)
    tiers[has_exact] = Tier.EXACT
    tiers[~lacks] = Tier.ALL_STARTS
    tiers[~lacks & ~is_part] = Tier.ALL_WORDS
    return np.minimum(shares, np.float32(1)), tiers


def _ids_with_all(catalog: Catalog, terms: Sequence[KeywordTerm]) -> Ids:
    """Return the segments that contain all terms that are not common, ascending."""
    ids = [term_matches.ids for term_matches in _match_terms(catalog, terms).values()]
    return reduce(partial(np.intersect1d, assume_unique=True), ids) if ids else _NO_IDS


def _match_terms(catalog: Catalog, terms: Sequence[KeywordTerm]) -> dict[KeywordTerm, TermMatches]:
    """Return the matches of each term; common terms are left out."""
    db, change_count = catalog.db, catalog.change_count()
    sizes = {
        source: _query_int(db, f"SELECT count(*) FROM {source}_words_docsize") for source in KEYWORD_SOURCES
    }
    all_terms = terms
    terms = [term for term in terms if not term.is_function_word] or terms
    lookups = [lookup for term in terms for source in KEYWORD_SOURCES for lookup in _lookups(term, source)]
    limits = {source: _common_threshold(size) + 1 for source, size in sizes.items()}
    rows = {
        lookup: ids
        for lookup in lookups
        if len(ids := _read_rows(db, lookup, -1 if lookup.term.quoted else limits[lookup.source]))
    }
    # A quoted term is never common: in however many texts it is, it keeps the share of a rarer one.
    counts = {lookup: min(len(ids), limits[lookup.source]) for lookup, ids in rows.items()}
    discriminative = _discriminative(counts, sizes)
    if counts and not discriminative:
        rows = {lookup: _read_rows(db, lookup, -1) for lookup in rows}
        counts = {lookup: len(ids) for lookup, ids in rows.items()}
        discriminative = [lookup for lookup, n in counts.items() if n == min(counts.values())]
    common_terms = {lookup.term for lookup in counts} - {lookup.term for lookup in discriminative}
    rarity = {term: _idf(0, sum(sizes.values())) for term in terms if term not in common_terms}
    rarity |= {lookup.term: _idf(counts[lookup], sizes[lookup.source]) for lookup in discriminative}
    matches = {term: TermMatches(rare) for term, rare in rarity.items()}
    for lookup in discriminative:
        if lookup.source == "text":
            found = _match_texts(db, lookup, rows[lookup], sizes["text"])
            matches[lookup.term].add(*found, is_word=lookup.is_word, is_start=lookup.is_start, is_name=False)
    text_ids = union(*(term_matches.ids for term_matches in matches.values()))
    files: dict[KeywordTerm, Ids] = {}  # matched by earlier lookups of a term, which are better
    for lookup in discriminative:
        if lookup.source == "name":
            known = files.get(lookup.term, _NO_IDS)
            new = rows[lookup][~is_member(rows[lookup], known)]
            files[lookup.term] = union(known, new)
            ids = catalog.named_segments.find(db, new, text_ids, change_count)
            found = ids, lookup.weight * _uniform_scores(ids, counts[lookup], sizes["name"])
            matches[lookup.term].add(*found, is_word=lookup.is_word, is_start=lookup.is_start, is_name=True)
    for term, ids in _match_tags(db, all_terms):
        if term in matches:
            scores = _uniform_scores(ids, len(ids), sizes["name"])
            matches[term].add(ids, scores, is_word=True, is_start=True, is_name=True)
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


def _read_rows(db: sqlite3.Connection, lookup: Lookup, limit: int) -> Ids:
    """Return the rows with a term, ascending, at most `limit`; -1 for no limit."""
    return _query_ids(db, f"{lookup.sql} LIMIT ?", (*lookup.parameters, limit))


def _lookups(term: KeywordTerm, source: KeywordSource) -> Iterator[Lookup]:
    """Yield the lookups of a term: as a word, and as a substring if that may be intended."""
    quoted = '"' + term.text.replace('"', '""') + '"'  # quoted, so that it contains no operators
    yield Lookup(term, source, f"{source}_words", (quoted,))
    if term.is_substring and len(term.text) > 2:
        share = 1.0 if term.is_unspaced or term.quoted else 0.5
        if share < 1:
            yield Lookup(term, source, f"{source}_words", (f"{quoted} *",), share)
        yield Lookup(term, source, f"{source}_pieces", (quoted,), share)
    elif term.is_unspaced:  # too short for the trigram table, but not for its vocabulary
        yield Lookup(term, source, f"{source}_terms", (term.text, term.text + chr(0x10FFFF)))


def _match_texts(db: sqlite3.Connection, lookup: Lookup, ids: Ids, size: int) -> tuple[Ids, Scores]:
    """Return the texts with a term and its BM25 score in each (Robertson & Zaragoza, FnTIR 2009)."""
    if len(lookup.parameters) == 2 or len(ids) > MAX_BM25_TEXTS:
        return ids, lookup.weight * _uniform_scores(ids, len(ids), size)
    query = f"SELECT rowid, -bm25({lookup.table}) FROM {lookup.table} WHERE {lookup.table} MATCH ?"
    rows = db.execute(query, lookup.parameters).fetchall()
    scores = np.array([row[1] for row in rows], np.float32)
    return np.array([row[0] for row in rows], np.int64), lookup.weight * scores


def _match_tags(db: sqlite3.Connection, terms: Sequence[KeywordTerm]) -> Iterator[tuple[KeywordTerm, Ids]]:
    """Yield each term of a tag with the segments of the tag; a tag may have several words."""
    runs = [
        terms[at : at + size] for size in range(1, MAX_TAG_WORDS + 1) for at in range(len(terms) - size + 1)
    ]
    names = [" ".join(term.text for term in run) for run in runs]
    for (at,) in db.execute(_KNOWN_TAGS_QUERY, (json.dumps(names),)).fetchall():
        ids = _query_ids(db, _TAG_QUERY, (names[at],))
        yield from ((term, ids) for term in runs[at])


def _idf(n: int, size: int) -> float:
    """Return the inverse document frequency of BM25 for n of `size` documents, at least 1e-6."""
    return float(max(1e-6, np.log(max(1e-6, (size - n + 0.5) / (n + 0.5)))))


def _uniform_scores(ids: Ids, n: int, size: int) -> Scores:
    """Return the same score for each of the segments."""
    return np.full(len(ids), _idf(n, size), np.float32)


def _query_ids(db: sqlite3.Connection, query: str, values: Sequence[object]) -> Ids:
    """Return the ids of a query, ascending; read as one text, three times as fast as rows."""
    row = db.execute(f"WITH found (id) AS ({query}) SELECT group_concat(id) FROM found", values).fetchone()
    return union(np.fromstring(row[0] or "", np.int64, sep=","))


def _query_int(db: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> int:
    return int(db.execute(query, values).fetchone()[0])
