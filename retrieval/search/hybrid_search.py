"""Put hits by meaning and hits by keyword into one list."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias

from retrieval.catalog.reader import Catalog
from retrieval.errors import QueryError
from retrieval.query.ast import Words
from retrieval.query.encoder import Asked
from retrieval.scoring.ranking import fuse, ranks
from retrieval.search.exclusions import Vetoes
from retrieval.search.keyword_search import Found, find
from retrieval.search.vector_search import search, thing
from retrieval.types import Filters, Hit
from retrieval.vectors.space_index import Nearest

By: TypeAlias = Literal["both", "meaning", "keyword"]

DEPTH = 50  # hits of each list that are looked at, if no more are asked for
SURE = 0.99  # confidence in a hit that has all words of the query
K = 5  # of the fusion: of each list the first few matter; best of 5 to 60 on Flickr8k's dev captions


def search_both(
    catalog: Catalog,
    nearest: Nearest,
    asked: Asked,
    filters: Filters,
    *,
    count: int,
    leave_out: frozenset[int] = frozenset(),
    by: By = "both",
) -> list[Hit]:
    """Return the best `count` hits by meaning, by keyword, or by both.

    Words of which the model knows none are looked for as they are written. Raises QueryError.
    """
    text = " ".join(_written(words) for words in asked.words)
    if not asked.known:
        if by == "meaning":
            raise QueryError(f"The model {nearest.space.name} knows no word of the query; keywords may.")
        by = "keyword"
    if by == "meaning" or not text:
        return search(catalog, nearest, asked, filters, count=count, leave_out=leave_out)
    wanted = max(count, DEPTH)
    allowed = nearest.allowed(filters) if filters.narrow else None
    while True:
        found = find(catalog, text, kinds=filters.kinds, allowed=allowed, count=wanted)
        named = keyword_hits(catalog, nearest, asked, found, filters, leave_out)
        if by == "both" or len(named) >= count or len(found.ids) < wanted:
            break
        wanted *= 4  # many of them are of files that are gone
    if by == "both" and not named:
        return search(catalog, nearest, asked, filters, count=count, leave_out=leave_out)
    depth = max(count, DEPTH)
    near = search(catalog, nearest, asked, filters, count=depth, leave_out=leave_out) if by == "both" else []
    mixed = len({hit.kind for hit in [*near, *(each.hit for each in named)]}) > 1
    return blend(near, named, key=thing if mixed else place)[:count]


def _written(words: Words) -> str:
    """Return words as keywords are written, quotes around phrases."""
    return " ".join(
        '"{}"'.format(text.replace('"', " ")) if quoted else text for text, quoted in words.pieces
    )


class Named(NamedTuple):
    """A hit by keyword, how well its words fit, and how much that counts beside meaning."""

    hit: Hit
    fit: float
    weight: float


class _Row(NamedTuple):
    fit: float
    weight: float
    share: float


def keyword_hits(
    catalog: Catalog,
    nearest: Nearest,
    asked: Asked,
    found: Found,
    filters: Filters,
    leave_out: frozenset[int] = frozenset(),
) -> list[Named]:
    """Return a hit with a place for each found segment that no veto drops, in order.

    Scores are true cosines with the query; what has no vector in this space drops out. Confidence is the
    part of the query that the hit has, for the words are there.
    """
    ids, vectors = catalog.vectors_of(nearest.space, found.ids)
    cosines = dict(zip(ids.tolist(), (vectors @ asked.vector[0]).tolist(), strict=True))
    rows = {id_: _Row(*row) for id_, *row in zip(*(part.tolist() for part in found), strict=True)}
    pairs = [(id_, cosines[id_]) for id_ in rows if id_ in cosines and id_ not in leave_out]
    hits = catalog.hits(pairs, nearest.space.name, filters)
    spared = Vetoes(catalog, nearest, asked).spare(hits)
    return [
        Named(_known_by(hit, rows[hit.id].share), rows[hit.id].fit, rows[hit.id].weight) for hit in spared
    ]


def _known_by(hit: Hit, words: float) -> Hit:
    """Return a hit as one that has this part of the words."""
    return replace(hit, words=round(words, 4), confidence=round(SURE * words, 4))


def place(hit: Hit) -> Hashable:
    """Name a picture, or a segment at a place: a caption that several pictures share is a hit of each."""
    return thing(hit) if hit.kind == "image" else (hit.id, hit.path)


def blend(
    meaning: Sequence[Hit], keyword: Sequence[Named], key: Callable[[Hit], Hashable] = place
) -> list[Hit]:
    """Merge hits by meaning with hits by keyword, both best first.

    Hits of the same `key` are one; meaning's is shown, with the larger confidence. Hits whose words fit
    alike share a rank, so that a folder's name lifts all that is in it and leaves the order there to
    meaning.
    """
    near: dict[Hashable, float] = {}
    for hit in meaning:
        near.setdefault(key(hit), len(near) + 1)
    named: dict[Hashable, Named] = {}
    for each in keyword:
        named.setdefault(key(each.hit), each)
    hits = {name: each.hit for name, each in named.items()}
    hits |= {key(hit): _surer(hit, hits.get(key(hit))) for hit in reversed(meaning)}
    weights = {name: each.weight for name, each in named.items()}
    by_words = ranks(named, [each.fit for each in named.values()])
    return [hits[name] for name in fuse([near, by_words], [1.0, weights], k=K)]


def _surer(hit: Hit, other: Hit | None) -> Hit:
    """Return the hit with the larger of two confidences, and the words that the other has."""
    if other is None:
        return hit
    if other.confidence is None or hit.confidence is None:
        return replace(hit, words=other.words)
    return replace(hit, confidence=max(hit.confidence, other.confidence), words=other.words)
