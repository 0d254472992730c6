"""Put hits by meaning and hits by keyword into one list."""

from collections.abc import Callable, Hashable, Sequence

from retrieval.catalog import Catalog
from retrieval.keywords import Found
from retrieval.rank import fuse, ranks
from retrieval.records import Filters, Hit, Space, Vectors

DEPTH = 100  # hits of each list that are looked at, if no more are asked for
WEIGHT = 1.0  # of keywords beside meaning, whose weight is 1
QUOTED = 10.0  # of keywords where the query quotes: what has the phrase comes before nearly all else


def keyword_hits(
    catalog: Catalog, space: Space, query: Vectors, found: Found, filters: Filters
) -> list[tuple[Hit, float]]:
    """Return a hit with a place for each found segment, in order, and how well its words fit.

    The hits' own scores are true cosines with the (1, d) query; what has no vector in this space drops out.
    """
    ids, vectors = catalog.vectors_of(space, found.ids)
    cosines = dict(zip(ids.tolist(), (vectors @ query[0]).tolist(), strict=True))
    pairs = [(id_, cosines[id_]) for id_ in found.ids.tolist() if id_ in cosines]
    fits = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    return [(hit, fits[hit.id]) for hit in catalog.hits(pairs, space.name, filters)]


def place(hit: Hit) -> Hashable:
    """Name a segment at a place: a caption that several pictures share is a hit of each."""
    return hit.id, hit.path


def blend(
    meaning: Sequence[Hit],
    keyword: Sequence[tuple[Hit, float]],
    *,
    weight: float = WEIGHT,
    thing: Callable[[Hit], Hashable] = place,
) -> list[Hit]:
    """Merge hits by meaning, best first, with hits by keyword and how well their words fit, best first.

    Hits of the same `thing` are one; meaning's is shown. Hits whose words fit alike share a rank, so that
    a folder's name lifts all that is in it and leaves the order there to meaning.
    """
    hits = {thing(hit): hit for hit in reversed([*meaning, *(hit for hit, _ in keyword)])}
    first = dict.fromkeys(thing(hit) for hit in meaning)
    fits: dict[Hashable, float] = {}
    for hit, fit in keyword:
        fits.setdefault(thing(hit), fit)
    near = {key: rank for rank, key in enumerate(first, start=1)}
    order = fuse([near, ranks(fits, fits.values())], [1.0, weight])
    return [hits[key] for key in order]
