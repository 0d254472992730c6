"""Answer one query: nearest segments of each kind, with their places, in one list."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.query.encoder import EncodedQuery
from retrieval.scoring import calibration as calibrate
from retrieval.scoring.linear_probe import VISUAL_KINDS
from retrieval.scoring.ranking import standardize
from retrieval.search.exclusions import ExclusionFilter
from retrieval.types import Filters, Hit, Kind, Scores
from retrieval.vectors.space_index import SpaceIndex


def vector_search(
    catalog: Catalog,
    space_index: SpaceIndex,
    encoded_query: EncodedQuery,
    filters: Filters,
    *,
    count: int = 10,
    excluded_ids: frozenset[int] = frozenset(),
) -> list[Hit]:
    """Return the best `count` hits, best first.

    Hits of one kind stand in the order of their cosine. Cosines of different kinds do not compare (a text
    is nearer to every text than to any picture), so with several kinds each hit counts by how far it
    stands out from the best of background queries in its kind. What was learned from pictures alone is
    looked for in pictures, unless other kinds are asked for.
    """
    wished = filters.kinds or (VISUAL_KINDS if encoded_query.probe else catalog.kinds())
    kinds = [kind for kind in catalog.kinds() if kind in wished]
    wanted, vetoes = max(count, calibrate.TOP_N), ExclusionFilter(catalog, space_index, encoded_query)
    while True:
        rankings = {}
        for kind in kinds:
            one = replace(filters, kinds=frozenset({kind}))
            if hits := _rank_kind(
                catalog, space_index, encoded_query, kind, one, wanted, excluded_ids, vetoes
            ):
                rankings[kind] = hits
        scores = _calibrated_scores(catalog, space_index, encoded_query, rankings)
        if len(rankings) < 2:
            return next(iter(rankings.values()), [])[:count]
        merged = merge_kinds(rankings, scores)
        # What a list that was cut short holds back stands out no more than its last hit.
        held = [scores[kind][-1] for kind, hits in rankings.items() if len(hits) == wanted]
        if not held or (len(merged) >= count and merged[count - 1][0] >= max(held)):
            return [hit for _, hit in merged[:count]]
        wanted *= 4  # many captions of few pictures


def merge_kinds(
    rankings: Mapping[Kind, Sequence[Hit]], scores: Mapping[Kind, Scores]
) -> list[tuple[float, Hit]]:
    """Merge the lists of several kinds, best first; a picture and its captions are one hit, the best."""
    best: dict[object, tuple[float, Hit]] = {}
    for kind, hits in rankings.items():
        for hit, score in zip(hits, scores[kind], strict=True):
            key = result_key(hit)
            if key not in best or score > best[key][0]:
                best[key] = (float(score), hit)
    return sorted(best.values(), key=lambda pair: -pair[0])


def has_good_match(hits: Sequence[Hit]) -> bool:
    """Say whether any hit is better than what background queries find; so where nothing is known of that."""
    return any(hit.match != "weak" for hit in hits)


def result_key(hit: Hit) -> object:
    """Name what a person would open: the picture of an image or caption, a page, else the segment itself."""
    if hit.page is not None:
        return hit.path, hit.page
    described = hit.kind == "text" and (hit.start is None or (hit.source is not None and not hit.timed))
    return hit.path if hit.kind == "image" or described else hit.id


def deduplicate(hits: Sequence[Hit]) -> list[Hit]:
    """Return the first hit of each thing: of a picture the part, or the whole, that fits best."""
    best: dict[object, Hit] = {}
    for hit in hits:
        best.setdefault(result_key(hit), hit)
    return list(best.values())


def _calibrated_scores(
    catalog: Catalog, space_index: SpaceIndex, encoded_query: EncodedQuery, rankings: dict[Kind, list[Hit]]
) -> dict[Kind, Scores]:
    """Return how far each hit stands out, and write the confidence that follows from it into the hits.

    A library that is being made is not calibrated yet: then hits count by how far they stand out from
    others of their kind, and have no confidence.
    """
    found = {kind: np.array([hit.score for hit in hits], np.float32) for kind, hits in rankings.items()}
    mean = space_index.mean_query(encoded_query.mode)
    known = {kind: space_index.calibrations.get((encoded_query.mode, kind)) for kind in rankings}
    surprises = {}
    for kind, calibration in known.items():
        if encoded_query.probe is not None and kind in VISUAL_KINDS:
            surprises[kind] = encoded_query.probe.z_scores(found[kind])
        elif calibration is not None and mean is not None:
            first = [hit.id for hit in rankings[kind][: calibrate.TOP_N]]
            usual = calibrate.baseline_score(
                encoded_query.vector[0], catalog.vectors_of(space_index.space, first)[1], mean
            )
            surprises[kind] = calibration.z_scores(found[kind], usual)
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
    usually = {kind: (encoded_query.vector @ space_index.background_vectors(kind).T)[0] for kind in rankings}
    prior = np.concatenate(list(usually.values()))
    return {kind: standardize(found[kind], usually[kind], prior) for kind in rankings}


def _rank_kind(
    catalog: Catalog,
    space_index: SpaceIndex,
    encoded_query: EncodedQuery,
    kind: Kind,
    filters: Filters,
    count: int,
    excluded_ids: frozenset[int],
    exclusion_filter: ExclusionFilter,
) -> list[Hit]:
    """Rank one kind; look further until `count` hits have a place or nothing is left."""
    wanted, narrow = count + len(excluded_ids), filters.has_non_kind_filters
    while True:
        scores, ids = space_index.search(encoded_query.vector, kind, wanted, filters if narrow else None)
        keep = ~np.isin(ids, list(excluded_ids))
        pairs = [(int(i), float(s)) for i, s in zip(ids[keep], scores[keep], strict=True)]
        there = catalog.hits(pairs, space_index.space.name, filters)
        hits = exclusion_filter.apply(there)
        if kind == "image":
            hits = deduplicate(hits)
        if len(hits) >= count or len(ids) < wanted:
            return hits[:count]
        if len({hit.id for hit in there}) < len(pairs):
            narrow = True  # many of the near are of files that are gone
        wanted *= 4
