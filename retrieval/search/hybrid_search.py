"""Fuse the ranking by meaning with the ranking by keyword."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from retrieval.errors import QueryError
from retrieval.query.ast import Words
from retrieval.query.options import SearchMode
from retrieval.scoring.ranking import average_ranks, reciprocal_rank_fusion
from retrieval.search.keyword_search import KeywordMatches, keyword_search
from retrieval.search.kind_hits import result_key
from retrieval.search.request import SearchRequest
from retrieval.search.vector_search import VectorRanking
from retrieval.types import Hit

MIN_FUSION_DEPTH = 50  # hits of each ranking that are fused, if fewer are requested
DEPTH_GROWTH = 4  # if too many keyword matches are of deleted files, this many times as many are read
FULL_MATCH_CONFIDENCE = 0.99  # confidence in a hit that contains all words of the query
RRF_K = 5  # the first few hits of a ranking count most; best of 5 to 60 on the dev captions of Flickr8k


class HitRanking(Protocol):
    """A ranking of hits, evaluated on demand."""

    def top(self, count: int) -> list[Hit]:
        """Return the best `count` hits, fewer only if no more exist."""
        ...


def hybrid_search(request: SearchRequest, by: SearchMode = "both") -> HitRanking:
    """Return the ranking of a request by meaning, by keyword, or by both.

    A query whose words are all unknown to the model is searched by keyword. Raises QueryError.
    """
    text = " ".join(_keyword_text(words) for words in request.query.keywords)
    if not request.query.is_known and by == "meaning":
        raise QueryError(
            f"The model {request.space_index.space.name} knows no word of the query; keywords may match."
        )
    if by == "meaning" or not text:
        return VectorRanking(request)
    if by == "keyword" or not request.query.is_known:
        return KeywordRanking(request, text)
    return FusedRanking(VectorRanking(request), KeywordRanking(request, text))


def _keyword_text(words: Words) -> str:
    """Return words in the syntax of keywords, with quotes around phrases."""
    return " ".join(
        '"{}"'.format(text.replace('"', " ")) if quoted else text for text, quoted in words.pieces
    )


class FusedRanking:
    """A ranking by meaning fused with one by keyword.

    The fusion covers a fixed depth of both. A deeper one may order its first hits differently.
    """

    def __init__(self, vector_ranking: "VectorRanking", keyword_ranking: "KeywordRanking") -> None:
        self.vector_ranking = vector_ranking
        self.keyword_ranking = keyword_ranking

    def top(self, count: int) -> list[Hit]:
        """Return the best `count` hits, fewer only if no more exist."""
        depth = max(count, MIN_FUSION_DEPTH)
        keyword_hits = self.keyword_ranking.among(depth)
        if not keyword_hits:
            return self.vector_ranking.top(count)
        return fuse_hits(self.vector_ranking.top(depth), keyword_hits)[:count]


class KeywordHit(NamedTuple):
    """A hit by keyword, how well its words match, and its weight relative to a hit by meaning."""

    hit: Hit
    keyword_score: float
    weight: float


class KeywordRanking:
    """A ranking by keyword, whose matches are resolved to hits on demand."""

    def __init__(self, request: SearchRequest, text: str) -> None:
        self.request = request
        allowed = (
            request.space_index.allowed_ids(request.filters) if request.filters.has_non_kind_filters else None
        )
        self.matches = keyword_search(
            request.catalog, text, kinds=request.filters.kinds, allowed=allowed, count=None
        )
        self._resolved_count = 0
        self._hits: list[KeywordHit] = []

    def top(self, count: int) -> list[Hit]:
        """Return the best `count` hits, fewer only if no more exist."""
        depth = max(count, MIN_FUSION_DEPTH)
        while len(self.among(depth)) < count and depth < len(self.matches.ids):
            depth *= DEPTH_GROWTH
        return fuse_hits([], self.among(depth))[:count]

    def among(self, depth: int) -> list[KeywordHit]:
        """Return the hits among the first `depth` matches; `depth` must not be less than in earlier calls."""
        if depth > self._resolved_count:
            new = self.matches.part(slice(self._resolved_count, depth))
            self._hits += resolve_keyword_hits(self.request, new)
            self._resolved_count = depth
        return self._hits


def resolve_keyword_hits(request: SearchRequest, matches: KeywordMatches) -> list[KeywordHit]:
    """Return a hit for each match with a file that no exclusion drops, in order.

    Scores are cosines with the query; segments without a vector in this space are dropped. Confidence is
    the share of the query that the hit contains.
    """
    ids, vectors = request.catalog.vectors_of(request.space_index.space, matches.ids)
    cosines = dict(zip(ids.tolist(), (vectors @ request.query.vector[0]).tolist(), strict=True))
    rows = {row[0]: row for row in zip(*(column.tolist() for column in matches), strict=True)}
    scored_ids = [(id_, cosines[id_]) for id_ in rows if id_ in cosines and id_ not in request.excluded_ids]
    hits = request.catalog.hits(scored_ids, request.space_index.space.name, request.filters)
    keyword_hits = []
    for hit in request.exclusion_filter.apply(hits):
        _, keyword_score, weight, query_share = rows[hit.id]
        confidence = round(FULL_MATCH_CONFIDENCE * query_share, 4)
        hit = replace(hit, words=round(query_share, 4), confidence=confidence)
        keyword_hits.append(KeywordHit(hit, keyword_score, weight))
    return keyword_hits


def location_key(hit: Hit) -> Hashable:
    """Return the image, or the segment and its file: a caption of several images is a hit of each."""
    return result_key(hit) if hit.kind == "image" else (hit.id, hit.path)


def fuse_hits(vector_hits: Sequence[Hit], keyword_hits: Sequence[KeywordHit]) -> list[Hit]:
    """Merge hits by meaning with hits by keyword, both best first.

    If they are of several kinds, an image and its captions are one result. Of equal results the hit by
    meaning is returned, with the larger confidence. Hits whose words match equally well share a rank, so
    the name of a folder lifts all its files and leaves their order to meaning.
    """
    kinds = {hit.kind for hit in vector_hits} | {keyword_hit.hit.kind for keyword_hit in keyword_hits}
    key: Callable[[Hit], Hashable] = result_key if len(kinds) > 1 else location_key
    near: dict[Hashable, float] = {}
    for hit in vector_hits:
        near.setdefault(key(hit), len(near) + 1)
    named: dict[Hashable, KeywordHit] = {}
    for keyword_hit in keyword_hits:
        named.setdefault(key(keyword_hit.hit), keyword_hit)
    hits = {name: keyword_hit.hit for name, keyword_hit in named.items()}
    hits |= {key(hit): _with_larger_confidence(hit, hits.get(key(hit))) for hit in reversed(vector_hits)}
    weights = {name: keyword_hit.weight for name, keyword_hit in named.items()}
    by_words = average_ranks(named, [keyword_hit.keyword_score for keyword_hit in named.values()])
    return [hits[name] for name in reciprocal_rank_fusion([near, by_words], [1.0, weights], k=RRF_K)]


def _with_larger_confidence(hit: Hit, other: Hit | None) -> Hit:
    """Return the hit with the larger of two confidences, and with the share of words of the other."""
    if other is None:
        return hit
    if other.confidence is None or hit.confidence is None:
        return replace(hit, words=other.words)
    return replace(hit, confidence=max(hit.confidence, other.confidence), words=other.words)
