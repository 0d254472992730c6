"""Answer one query: nearest segments of each kind, with their places, in one list."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.query.encoder import Asked
from retrieval.scoring import calibration as calibrate
from retrieval.scoring.linear_probe import SEEN
from retrieval.scoring.ranking import standardize
from retrieval.search.exclusions import Vetoes
from retrieval.types import Filters, Hit, Kind, Scores
from retrieval.vectors.space_index import Nearest


def search(
    catalog: Catalog,
    nearest: Nearest,
    asked: Asked,
    filters: Filters,
    *,
    count: int = 10,
    leave_out: frozenset[int] = frozenset(),
) -> list[Hit]:
    """Return the best `count` hits, best first.

    Hits of one kind stand in the order of their cosine. Cosines of different kinds do not compare (a text
    is nearer to every text than to any picture), so with several kinds each hit counts by how far it
    stands out from the best of background queries in its kind. What was learned from pictures alone is
    looked for in pictures, unless other kinds are asked for.
    """
    wished = filters.kinds or (SEEN if asked.probe else catalog.kinds())
    kinds = [kind for kind in catalog.kinds() if kind in wished]
    wanted, vetoes = max(count, calibrate.FIRST), Vetoes(catalog, nearest, asked)
    while True:
        rankings = {}
        for kind in kinds:
            one = replace(filters, kinds=frozenset({kind}))
            if hits := _ranking(catalog, nearest, asked, kind, one, wanted, leave_out, vetoes):
                rankings[kind] = hits
        scores = _surprises(catalog, nearest, asked, rankings)
        if len(rankings) < 2:
            return next(iter(rankings.values()), [])[:count]
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


def matches_well(hits: Sequence[Hit]) -> bool:
    """Say whether any hit is better than what background queries find; so where nothing is known of that."""
    return any(hit.match != "weak" for hit in hits)


def thing(hit: Hit) -> object:
    """Name what a person would open: the picture of an image or caption, a page, else the segment itself."""
    if hit.page is not None:
        return hit.path, hit.page
    described = hit.kind == "text" and (hit.start is None or (hit.source is not None and not hit.timed))
    return hit.path if hit.kind == "image" or described else hit.id


def once(hits: Sequence[Hit]) -> list[Hit]:
    """Return the first hit of each thing: of a picture the part, or the whole, that fits best."""
    best: dict[object, Hit] = {}
    for hit in hits:
        best.setdefault(thing(hit), hit)
    return list(best.values())


def _surprises(
    catalog: Catalog, nearest: Nearest, asked: Asked, rankings: dict[Kind, list[Hit]]
) -> dict[Kind, Scores]:
    """Return how far each hit stands out, and write the confidence that follows from it into the hits.

    A library that is being made is not calibrated yet: then hits count by how far they stand out from
    others of their kind, and have no confidence.
    """
    found = {kind: np.array([hit.score for hit in hits], np.float32) for kind, hits in rankings.items()}
    mean = nearest.mean(asked.way)
    known = {kind: nearest.calibrations.get((asked.way, kind)) for kind in rankings}
    surprises = {}
    for kind, calibration in known.items():
        if asked.probe is not None and kind in SEEN:
            surprises[kind] = asked.probe.surprise(found[kind])
        elif calibration is not None and mean is not None:
            first = [hit.id for hit in rankings[kind][: calibrate.FIRST]]
            usual = calibrate.usual(asked.vector[0], catalog.vectors_of(nearest.space, first)[1], mean)
            surprises[kind] = calibration.surprise(found[kind], usual)
            rankings[kind] = [
                replace(hit, usual=round(usual + calibration.center, 4)) for hit in rankings[kind]
            ]
        else:
            continue
        rankings[kind] = [
            replace(hit, confidence=round(calibrate.confidence(float(one)), 4))
            for hit, one in zip(rankings[kind], surprises[kind], strict=True)
        ]
    if len(surprises) == len(rankings):
        return surprises
    usually = {kind: (asked.vector @ nearest.background(kind).T)[0] for kind in rankings}
    prior = np.concatenate(list(usually.values()))
    return {kind: standardize(found[kind], usually[kind], prior) for kind in rankings}


def _ranking(
    catalog: Catalog,
    nearest: Nearest,
    asked: Asked,
    kind: Kind,
    filters: Filters,
    count: int,
    leave_out: frozenset[int],
    vetoes: Vetoes,
) -> list[Hit]:
    """Rank one kind; look further until `count` hits have a place or nothing is left."""
    wanted, narrow = count + len(leave_out), filters.narrow
    while True:
        scores, ids = nearest.search(asked.vector, kind, wanted, filters if narrow else None)
        keep = ~np.isin(ids, list(leave_out))
        pairs = [(int(i), float(s)) for i, s in zip(ids[keep], scores[keep], strict=True)]
        there = catalog.hits(pairs, nearest.space.name, filters)
        hits = vetoes.spare(there)
        if kind == "image":
            hits = once(hits)
        if len(hits) >= count or len(ids) < wanted:
            return hits[:count]
        if len({hit.id for hit in there}) < len(pairs):
            narrow = True  # many of the near are of files that are gone
        wanted *= 4
