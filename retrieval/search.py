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
            if hits := _ranking(catalog, nearest, query, kind, one, wanted, leave_out):
                rankings[kind] = hits
        if len(rankings) < 2:
            return next(iter(rankings.values()), [])
        scores = _compare(rankings, {kind: (query @ nearest.background(kind).T)[0] for kind in rankings})
        merged = merge(rankings, scores)
        # What a list that was cut short holds back stands out no more than its last hit.
        held = [scores[kind][-1] for kind, hits in rankings.items() if len(hits) == wanted]
        if not held or (len(merged) >= count and merged[count - 1][0] >= max(held)):
            return [hit for _, hit in merged[:count]]
        wanted *= 4  # many captions of few pictures


def merge(rankings: Mapping[Kind, Sequence[Hit]], scores: Mapping[Kind, Scores]) -> list[tuple[float, Hit]]:
    """Merge the lists of several kinds, best first; a picture and its captions are one hit, the best."""
    best: dict[object, tuple[float, Hit]] = {}
    for kind, hits in rankings.items():
        for hit, score in zip(hits, scores[kind], strict=True):
            key = thing(hit)
            if key not in best or score > best[key][0]:
                best[key] = (float(score), hit)
    return sorted(best.values(), key=lambda pair: -pair[0])


def _compare(rankings: Mapping[Kind, Sequence[Hit]], usual: Mapping[Kind, Scores]) -> dict[Kind, Scores]:
    """Return how far each hit stands out from what is usual for its kind."""
    prior = np.concatenate(list(usual.values()))
    return {
        kind: standardize(np.array([hit.score for hit in hits], np.float32), usual[kind], prior)
        for kind, hits in rankings.items()
    }


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
    wanted, narrow = count + len(leave_out), filters.narrow
    while True:
        scores, ids = nearest.search(query, kind, wanted, filters if narrow else None)
        pairs = [(int(i), float(s)) for i, s in zip(ids, scores, strict=True) if i not in leave_out]
        hits = catalog.hits(pairs, nearest.space.name, filters)
        if len(hits) >= count or len(ids) < wanted:
            return hits[:count]
        wanted, narrow = wanted * 4, True  # many of the near are of files that are gone
