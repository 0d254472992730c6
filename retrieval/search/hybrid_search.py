"""Rank hits by their words and by their meaning, in one list.

Hits that contain all words of the query come first, ordered by meaning. The others follow by confidence: by
meaning, raised by the share of the words that they contain.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from heapq import merge
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np

from retrieval.embedders.registry import is_outdated
from retrieval.errors import ModelOutdated, QueryError
from retrieval.query.ast import Term, Words
from retrieval.query.options import SearchMode
from retrieval.scoring import calibration
from retrieval.search.keyword_search import KeywordMatches, Tier, keyword_search
from retrieval.search.keyword_spelling import correct_spelling
from retrieval.search.keyword_terms import KeywordTerm, distinct_terms, split_terms
from retrieval.search.kind_hits import result_key
from retrieval.search.request import SearchRequest
from retrieval.search.vector_search import ScoredHit, VectorRanking, ranked_hits
from retrieval.types import VISUAL_KINDS, Hit, Ids

MATCH_CONFIDENCE = 0.99  # confidence in a hit that contains all words of the query
CORRECTED_CONFIDENCE = 0.8  # if the spelling of a word was corrected
WORDS_BONUS = 1.5  # standard deviations that all words are worth; 1 to 2 rank captions equally well
MAX_COMPARED_MATCHES = 200  # matches whose vectors are read at once
MAX_RAISED_GROUPS = 3  # groups of matches of some words that are raised; those of the smallest shares are not
KEYWORD_ONLY_BONUS = 1e6  # without meaning, any larger share comes first


class HitRanking(Protocol):
    """A ranking of hits, evaluated on demand."""

    def top(self, count: int) -> list[Hit]:
        """Return the best `count` hits, fewer only if no more exist."""
        ...


def hybrid_search(request: SearchRequest, by: SearchMode = "both") -> HitRanking:
    """Return the ranking of a request by meaning, by keyword, or by both.

    A query whose words are all unknown to the model is searched by keyword. A concept learned from images is
    searched in visual kinds, unless other kinds are requested. Raises QueryError.
    """
    query = request.query
    if query.has_probe and not request.filters.kinds:
        request = replace(request, filters=replace(request.filters, kinds=frozenset(VISUAL_KINDS)))
    if not query.is_known and by == "meaning":
        space = request.space_index.space
        if is_outdated(space.model, space.fingerprint):
            raise ModelOutdated
        raise QueryError(f"The model {space.name} knows no word of the query; keywords may match.")
    if by == "meaning" or not query.has_keywords:
        return VectorRanking(request)
    return WordRanking(request, by_meaning=by == "both" and query.is_known)


def keyword_terms(terms: Sequence[Term], sign: int) -> list[list[KeywordTerm]]:
    """Return the keywords of each term of words that is added (sign 1) or subtracted (-1)."""
    return [
        split_terms(_keyword_text(term.operand), abs(term.weight))
        for term in terms
        if isinstance(term.operand, Words) and sign * term.weight > 0
    ]


def _keyword_text(words: Words) -> str:
    """Return words in the syntax of keywords, with quotes around phrases."""
    return " ".join(
        '"{}"'.format(text.replace('"', " ")) if quoted else text for text, quoted in words.pieces
    )


class MatchGroup(NamedTuple):
    """Matches of one tier that are ranked together: few of similar shares, or all of one share."""

    tier: Tier
    matches: KeywordMatches


def match_groups(matches: KeywordMatches) -> Iterator[MatchGroup]:
    """Yield the matches of each tier in groups, best first.

    Matches of equal share are never separated, because meaning alone decides between them.
    """
    for tier in Tier:
        own = matches.part(matches.tiers == tier)
        is_new = np.diff(own.shares, prepend=np.nan) != 0
        starts = np.flatnonzero(is_new) if tier >= Tier.EXACT else np.arange(min(1, len(own.ids)))
        first = end = 0
        for next_start in [*starts[1:].tolist(), len(own.ids)]:
            if next_start - first > MAX_COMPARED_MATCHES and end > first:
                yield MatchGroup(tier, own.part(slice(first, end)))
                first = end
            end = next_start
        if end > first:
            yield MatchGroup(tier, own.part(slice(first, end)))


class WordRanking:
    """A ranking of hits by their words, followed or mixed with one by meaning."""

    def __init__(self, request: SearchRequest, *, by_meaning: bool) -> None:
        self.request = request
        self.by_meaning = by_meaning
        self.top_confidence = MATCH_CONFIDENCE
        self.matches = self._find_matches()
        self._shares = dict(zip(self.matches.ids.tolist(), self.matches.shares.tolist(), strict=True))
        self._hits: list[Hit] = []
        self._remaining: Iterator[Hit] | None = None

    def top(self, count: int) -> list[Hit]:
        """Return the best `count` hits, fewer only if no more exist; the first call sets the page size."""
        if self._remaining is None:
            self._remaining = self._ranked(count)
        self._hits += islice(self._remaining, max(0, count - len(self._hits)))
        return self._hits[:count]

    def _find_matches(self) -> KeywordMatches:
        """Return all matches, of corrected words if nothing contains the words as they are written."""
        request, query = self.request, self.request.query
        terms = distinct_terms([term for part in keyword_terms(query.keywords, 1) for term in part])
        matches = self._search(terms)
        if len(matches.ids) or not query.rare_words:
            return matches
        corrected = correct_spelling(request.catalog.db, terms, query.rare_words)
        if corrected == terms:
            return matches
        self.top_confidence = CORRECTED_CONFIDENCE
        return self._search(distinct_terms(corrected))

    def _search(self, terms: Sequence[KeywordTerm]) -> KeywordMatches:
        request, filters = self.request, self.request.filters
        matches = keyword_search(
            request.catalog,
            terms,
            without=keyword_terms(request.query.keywords, -1),
            kinds=filters.kinds,
            allowed=request.space_index.allowed_ids(filters) if filters.has_non_kind_filters else None,
            query_share=request.query.keyword_share,
            count=None,
        )
        excluded = np.fromiter(request.excluded_ids, np.int64)
        return matches.part(~np.isin(matches.ids, excluded)) if len(excluded) else matches

    def _ranked(self, page_size: int) -> Iterator[Hit]:
        """Yield each result once, best first."""
        kinds = self.request.filters.kinds or self.request.catalog.kinds()
        key = result_key if len(kinds) > 1 else location_key
        seen = set[Hashable]()
        for hit in self._hits_by_tier(page_size):
            if key(hit) not in seen:
                seen.add(key(hit))
                yield hit

    def _hits_by_tier(self, page_size: int) -> Iterator[Hit]:
        raised: list[MatchGroup] = []
        for group in match_groups(self.matches):
            if group.tier < Tier.SOME_WORDS or not self.by_meaning:
                yield from (hit for _, hit in self._ranked_group(group, page_size))
            elif len(raised) < MAX_RAISED_GROUPS:
                raised.append(group)
        if not self.by_meaning:
            return
        known = {id_ for group in raised for id_ in group.matches.ids.tolist()}
        others = (
            (score, replace(hit, words=round(share, 4)) if (share := self._shares.get(hit.id)) else hit)
            for score, hit in ranked_hits(self.request, page_size)
            if hit.id not in known
        )
        streams = [others, *(self._ranked_group(group, page_size) for group in raised)]
        for _, hit in merge(*streams, key=lambda scored_hit: (-scored_hit[0], scored_hit[1].id)):
            yield hit

    def _ranked_group(self, group: MatchGroup, page_size: int) -> Iterator[ScoredHit]:
        """Yield the hits of a group, best first."""
        matches, exclusions = group.matches, self.request.exclusion_filter
        if not self.request.query.is_known:
            for at in range(0, len(matches.ids), MAX_COMPARED_MATCHES):
                ids = exclusions.remaining(matches.ids[at : at + MAX_COMPARED_MATCHES])
                yield from (self._rate(group.tier, *scored_hit) for scored_hit in self._compare(ids))
            return
        if len(matches.ids) <= MAX_COMPARED_MATCHES:
            hits = [self._rate(group.tier, *scored_hit) for scored_hit in self._compare(matches.ids)]
            yield from sorted(hits, key=lambda scored_hit: (-scored_hit[0], scored_hit[1].id))
            return
        yielded, ids, last = set[int](), np.sort(matches.ids), 0.0
        for scored_hit in ranked_hits(self.request, page_size, ids):
            last, hit = self._rate(group.tier, *scored_hit)
            yielded.add(hit.id)
            yield last, hit
        known = (id_ for id_ in ids.tolist() if id_ not in yielded)  # most of them have no vector
        rest = np.array([id_ for id_ in known if not exclusions.has_dropped(id_)], np.int64)
        for at in range(0, len(rest), MAX_COMPARED_MATCHES):
            for _, hit in self._compare(exclusions.remaining(rest[at : at + MAX_COMPARED_MATCHES])):
                yield last, self._rate(group.tier, last, hit)[1]

    def _compare(self, ids: Ids) -> list[ScoredHit]:
        """Return the hits of segments that no exclusion drops, in order, with their scores by meaning.

        A segment without a vector has the cosine 0 and the score of an average background query.
        """
        request = self.request
        known, vectors = request.catalog.vectors_of(request.space_index.space, ids.tolist())
        cosines = dict(
            zip(
                known.tolist(), np.einsum("qd,nd->qn", request.query.vector, vectors)[0].tolist(), strict=True
            )
        )
        scored_ids = [(id_, cosines.get(id_, 0.0)) for id_ in ids.tolist()]
        hits = request.exclusion_filter.apply(
            request.catalog.hits(scored_ids, request.space_index.space.name, request.filters)
        )
        scored_hits: list[ScoredHit] = [(0.0, hit) for hit in hits]
        for kind in {hit.kind for hit in hits} if request.query.is_known else ():
            rows = [row for row, hit in enumerate(hits) if hit.kind == kind and hit.id in cosines]
            annotated = request.scales.of(kind).annotate([hits[row] for row in rows])
            for row, scored_hit in zip(rows, annotated, strict=True):
                scored_hits[row] = scored_hit
        return scored_hits

    def _rate(self, tier: Tier, score: float, hit: Hit) -> ScoredHit:
        """Return a hit with the confidence that its words give it, and its score in its tier."""
        share = self._shares[hit.id]
        hit = replace(hit, words=round(share, 4), has_words=tier < Tier.SOME_WORDS)
        if tier < Tier.EXACT:
            return score, replace(hit, confidence=max(hit.confidence or 0.0, self.top_confidence))
        if not self.by_meaning:  # by share, and meaning decides between equals
            confidence = round(self.top_confidence * share, 4)
            return KEYWORD_ONLY_BONUS * share + score, replace(hit, confidence=confidence)
        score += WORDS_BONUS * share
        if hit.confidence is None and score < 0:
            return score, hit
        return score, replace(hit, confidence=calibration.rounded_confidence(score))


def location_key(hit: Hit) -> Hashable:
    """Return the image, or the segment and its file: a caption of several images is a hit of each."""
    return result_key(hit) if hit.kind == "image" else (hit.id, hit.path)
