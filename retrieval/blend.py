"""Put hits by meaning and hits by keyword into one list."""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from retrieval.catalog import Catalog
from retrieval.keywords import Found, find
from retrieval.nearest import Nearest
from retrieval.rank import fuse, ranks
from retrieval.records import Filters, Hit, Space, Vectors
from retrieval.search import search, thing

DEPTH = 50  # hits of each list that are looked at, if no more are asked for
K = 5  # of the fusion: of each list the first few matter; best of 5 to 60 on Flickr8k's dev captions


def search_both(
    catalog: Catalog,
    nearest: Nearest,
    query: Vectors,
    words: str,
    filters: Filters,
    *,
    count: int,
    meaning: bool,
) -> list[Hit]:
    """Return the best `count` hits for words and their (1, d) vector: by keyword, and by meaning if asked."""
    wanted = max(count, DEPTH)
    near = search(catalog, nearest, query, filters, count=wanted) if meaning else []
    allowed = nearest.allowed(filters) if filters.narrow else None
    while True:
        found = find(catalog, words, kinds=filters.kinds, allowed=allowed, count=wanted)
        named = keyword_hits(catalog, nearest.space, query, found, filters)
        if meaning or len(named) >= count or len(found.ids) < wanted:
            break
        wanted *= 4  # many of them are of files that are gone
    mixed = len({hit.kind for hit in [*near, *(each.hit for each in named)]}) > 1
    return blend(near, named, key=thing if mixed else place)[:count]


class Named(NamedTuple):
    """A hit by keyword, how well its words fit, and how much that counts beside meaning."""

    hit: Hit
    fit: float
    weight: float


def keyword_hits(
    catalog: Catalog, space: Space, query: Vectors, found: Found, filters: Filters
) -> list[Named]:
    """Return a hit with a place for each found segment, in order.

    Their scores are true cosines with the (1, d) query; what has no vector in this space drops out.
    """
    ids, vectors = catalog.vectors_of(space, found.ids)
    cosines = dict(zip(ids.tolist(), (vectors @ query[0]).tolist(), strict=True))
    rows = {id_: (fit, weight) for id_, fit, weight in zip(*(part.tolist() for part in found), strict=True)}
    pairs = [(id_, cosines[id_]) for id_ in rows if id_ in cosines]
    return [Named(hit, *rows[hit.id]) for hit in catalog.hits(pairs, space.name, filters)]


def place(hit: Hit) -> Hashable:
    """Name a segment at a place: a caption that several pictures share is a hit of each."""
    return hit.id, hit.path


def blend(
    meaning: Sequence[Hit], keyword: Sequence[Named], key: Callable[[Hit], Hashable] = place
) -> list[Hit]:
    """Merge hits by meaning with hits by keyword, both best first.

    Hits of the same `key` are one; meaning's is shown. Hits whose words fit alike share a rank, so that
    a folder's name lifts all that is in it and leaves the order there to meaning.
    """
    near: dict[Hashable, float] = {}
    for hit in meaning:
        near.setdefault(key(hit), len(near) + 1)
    named: dict[Hashable, Named] = {}
    for each in keyword:
        named.setdefault(key(each.hit), each)
    hits = {name: each.hit for name, each in named.items()} | {key(hit): hit for hit in reversed(meaning)}
    weights = {name: each.weight for name, each in named.items()}
    by_words = ranks(named, [each.fit for each in named.values()])
    return [hits[name] for name in fuse([near, by_words], [1.0, weights], k=K)]
