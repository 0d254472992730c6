"""Answer one query: nearest segments of each kind, with their places, in one list."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from retrieval.catalog import Catalog
from retrieval.nearest import Nearest
from retrieval.rank import standardize
from retrieval.records import Filters, Hit, Kind, Scores, Vectors


def search(
    catalog: Catalog,
    nearest: Nearest,
    query: Vectors,
    filters: Filters,
    *,
    count: int = 10,
    leave_out: frozenset[int] = frozenset(),
) -> list[Hit]:
    """Return the best `count` hits for a (1, d) query, best first.

    Cosines of different kinds do not compare (a text is nearer to every text than to any picture), so
    with several kinds each hit counts by how far it stands out from others of its kind.
    """
    kinds = [kind for kind in catalog.kinds() if not filters.kinds or kind in filters.kinds]
    wanted = count
    while True:
        rankings = {}
        for kind in kinds:
            one = replace(filters, kinds=frozenset({kind}))
            rankings[kind] = _ranking(catalog, nearest, query, kind, one, wanted, leave_out)
        if len(rankings) < 2:
            return next(iter(rankings.values()), [])
        merged = merge(rankings, {kind: (query @ nearest.background(kind).T)[0] for kind in kinds})
        if len(merged) >= count or all(len(hits) < wanted for hits in rankings.values()):
            return merged[:count]
        wanted *= 4  # many captions of few pictures


def merge(rankings: Mapping[Kind, Sequence[Hit]], backgrounds: Mapping[Kind, Scores]) -> list[Hit]:
    """Merge the lists of several kinds, best first; a picture and its captions are one hit, the best."""
    prior = np.concatenate(list(backgrounds.values()))
    best: dict[object, tuple[float, Hit]] = {}
    for kind, hits in rankings.items():
        scores = np.array([hit.score for hit in hits], np.float32)
        for hit, score in zip(hits, standardize(scores, backgrounds[kind], prior), strict=True):
            key = thing(hit)
            if key not in best or score > best[key][0]:
                best[key] = (float(score), hit)
    return [hit for _, hit in sorted(best.values(), key=lambda pair: -pair[0])]


def thing(hit: Hit) -> object:
    """Name what a person would open: the picture of an image or caption, else the segment itself."""
    described = hit.kind == "text" and (hit.source is not None or hit.start is None)
    return hit.path if hit.kind == "image" or described else hit.id


def _ranking(
    catalog: Catalog,
    nearest: Nearest,
    query: Vectors,
    kind: Kind,
    filters: Filters,
    count: int,
    leave_out: frozenset[int],
) -> list[Hit]:
    """Rank one kind; look further until `count` hits have a place or nothing is left."""
    wanted = count + len(leave_out)
    while True:
        scores, ids = nearest.search(query, kind, wanted, filters if filters.narrow else None)
        pairs = [(int(i), float(s)) for i, s in zip(ids, scores, strict=True) if i not in leave_out]
        hits = catalog.hits(pairs, nearest.space.name, filters)
        if len(hits) >= count or len(ids) < wanted:
            return hits[:count]
        wanted *= 4
