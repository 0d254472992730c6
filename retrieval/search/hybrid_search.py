"""Put hits by meaning and hits by keyword into one list."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

from retrieval.catalog.reader import Catalog
from retrieval.errors import QueryError
from retrieval.query.ast import Words
from retrieval.query.encoder import EncodedQuery
from retrieval.scoring.ranking import average_ranks, reciprocal_rank_fusion
from retrieval.search.exclusions import ExclusionFilter
from retrieval.search.keyword_search import KeywordMatches, keyword_search
from retrieval.search.vector_search import result_key, vector_search
from retrieval.types import Filters, Hit
from retrieval.vectors.space_index import SpaceIndex

SearchMode: TypeAlias = Literal["both", "meaning", "keyword"]

MIN_HITS_PER_LIST = 50  # hits of each list that are looked at, if no more are asked for
FULL_MATCH_CONFIDENCE = 0.99  # confidence in a hit that has all words of the query
RRF_K = 5  # of the fusion: of each list the first few matter; best of 5 to 60 on Flickr8k's dev captions


def hybrid_search(
    catalog: Catalog,
    space_index: SpaceIndex,
    encoded_query: EncodedQuery,
    filters: Filters,
    *,
    count: int,
    excluded_ids: frozenset[int] = frozenset(),
    by: SearchMode = "both",
) -> list[Hit]:
    """Return the best `count` hits by meaning, by keyword, or by both.

    Words of which the model knows none are looked for as they are written. Raises QueryError.
    """
    text = " ".join(_keyword_text(words) for words in encoded_query.keywords)
    if not encoded_query.is_known:
        if by == "meaning":
            raise QueryError(f"The model {space_index.space.name} knows no word of the query; keywords may.")
        by = "keyword"
    if by == "meaning" or not text:
        return vector_search(
            catalog, space_index, encoded_query, filters, count=count, excluded_ids=excluded_ids
        )
    wanted = max(count, MIN_HITS_PER_LIST)
    allowed = space_index.allowed_ids(filters) if filters.has_non_kind_filters else None
    while True:
        found = keyword_search(catalog, text, kinds=filters.kinds, allowed=allowed, count=wanted)
        named = resolve_keyword_hits(catalog, space_index, encoded_query, found, filters, excluded_ids)
        if by == "both" or len(named) >= count or len(found.ids) < wanted:
            break
        wanted *= 4  # many of them are of files that are gone
    if by == "both" and not named:
        return vector_search(
            catalog, space_index, encoded_query, filters, count=count, excluded_ids=excluded_ids
        )
    depth = max(count, MIN_HITS_PER_LIST)
    near = (
        vector_search(catalog, space_index, encoded_query, filters, count=depth, excluded_ids=excluded_ids)
        if by == "both"
        else []
    )
    mixed = len({hit.kind for hit in [*near, *(each.hit for each in named)]}) > 1
    return fuse_hits(near, named, key=result_key if mixed else location_key)[:count]


def _keyword_text(words: Words) -> str:
    """Return words as keywords are written, quotes around phrases."""
    return " ".join(
        '"{}"'.format(text.replace('"', " ")) if quoted else text for text, quoted in words.pieces
    )


class KeywordHit(NamedTuple):
    """A hit by keyword, how well its words fit, and how much that counts beside meaning."""

    hit: Hit
    keyword_score: float
    weight: float


class _KeywordRow(NamedTuple):
    keyword_score: float
    weight: float
    query_share: float


def resolve_keyword_hits(
    catalog: Catalog,
    space_index: SpaceIndex,
    encoded_query: EncodedQuery,
    matches: KeywordMatches,
    filters: Filters,
    excluded_ids: frozenset[int] = frozenset(),
) -> list[KeywordHit]:
    """Return a hit with a place for each found segment that no veto drops, in order.

    Scores are true cosines with the query; what has no vector in this space drops out. Confidence is the
    part of the query that the hit has, for the words are there.
    """
    ids, vectors = catalog.vectors_of(space_index.space, matches.ids)
    cosines = dict(zip(ids.tolist(), (vectors @ encoded_query.vector[0]).tolist(), strict=True))
    rows = {id_: _KeywordRow(*row) for id_, *row in zip(*(part.tolist() for part in matches), strict=True)}
    pairs = [(id_, cosines[id_]) for id_ in rows if id_ in cosines and id_ not in excluded_ids]
    hits = catalog.hits(pairs, space_index.space.name, filters)
    spared = ExclusionFilter(catalog, space_index, encoded_query).apply(hits)
    return [
        KeywordHit(
            _with_keyword_confidence(hit, rows[hit.id].query_share),
            rows[hit.id].keyword_score,
            rows[hit.id].weight,
        )
        for hit in spared
    ]


def _with_keyword_confidence(hit: Hit, query_share: float) -> Hit:
    """Return a hit as one that has this part of the words."""
    return replace(hit, words=round(query_share, 4), confidence=round(FULL_MATCH_CONFIDENCE * query_share, 4))


def location_key(hit: Hit) -> Hashable:
    """Name a picture, or a segment at a place: a caption that several pictures share is a hit of each."""
    return result_key(hit) if hit.kind == "image" else (hit.id, hit.path)


def fuse_hits(
    vector_hits: Sequence[Hit],
    keyword_hits: Sequence[KeywordHit],
    key: Callable[[Hit], Hashable] = location_key,
) -> list[Hit]:
    """Merge hits by meaning with hits by keyword, both best first.

    Hits of the same `key` are one; meaning's is shown, with the larger confidence. Hits whose words fit
    alike share a rank, so that a folder's name lifts all that is in it and leaves the order there to
    meaning.
    """
    near: dict[Hashable, float] = {}
    for hit in vector_hits:
        near.setdefault(key(hit), len(near) + 1)
    named: dict[Hashable, KeywordHit] = {}
    for each in keyword_hits:
        named.setdefault(key(each.hit), each)
    hits = {name: each.hit for name, each in named.items()}
    hits |= {key(hit): _with_larger_confidence(hit, hits.get(key(hit))) for hit in reversed(vector_hits)}
    weights = {name: each.weight for name, each in named.items()}
    by_words = average_ranks(named, [each.keyword_score for each in named.values()])
    return [hits[name] for name in reciprocal_rank_fusion([near, by_words], [1.0, weights], k=RRF_K)]


def _with_larger_confidence(hit: Hit, other: Hit | None) -> Hit:
    """Return the hit with the larger of two confidences, and the words that the other has."""
    if other is None:
        return hit
    if other.confidence is None or hit.confidence is None:
        return replace(hit, words=other.words)
    return replace(hit, confidence=max(hit.confidence, other.confidence), words=other.words)
