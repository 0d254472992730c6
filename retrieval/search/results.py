"""From a ranked list to the list that is shown: spread out, gathered into groups, sorted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrieval.errors import QueryError
from retrieval.grouping.attributes import load_hit_attributes, segment_ids
from retrieval.grouping.clusters import by_quality, group_rows
from retrieval.grouping.similarity import mean_similarity, similarity_function
from retrieval.scoring.ranking import diversify
from retrieval.types import SORT_ORDERS, Filters, Hit, Scores, SortOrder
from retrieval.vectors.space_index import SpaceIndex

CANDIDATES_PER_HIT = 5  # times as many hits are looked at as are shown, where they are spread or gathered
MIN_CANDIDATES = 100  # and at least so many


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """How the best hits are chosen and shown; `diversity` is from 0 (none) to 1 (nothing else)."""

    sort: SortOrder = "score"
    diversity: float = 0.0
    group: bool = False


def build_result_options(sort: str, diversity: float, group: bool) -> ResultOptions:
    """Check and gather what is asked; raises QueryError naming what is wrong."""
    if not 0 <= diversity <= 1:
        raise QueryError(f"diversity {diversity} is out of range; give 0 (none) to 1 (nothing else).")
    for known in SORT_ORDERS:
        if sort == known:
            return ResultOptions(known, float(diversity), group)
    raise QueryError(f"Hits are not sorted by {sort!r}; they are by {', '.join(SORT_ORDERS)}.")


def postprocess(
    top_hits: Callable[[int], list[Hit]],
    count: int,
    options: ResultOptions,
    space_index: SpaceIndex,
    filters: Filters,
) -> list[Hit]:
    """Return `count` hits; `best(n)` returns the best n, fewer only where there are no more.

    First groups are gathered, each at the rank of its best-scoring member, then they are spread, and
    what is left of them is sorted: sorting never changes which hits are shown.
    """
    if not options.group and not options.diversity:
        return sort_hits(top_hits(count), options.sort)
    deep = max(MIN_CANDIDATES, CANDIDATES_PER_HIT * count)
    hits = group_hits(top_hits, deep, count, space_index, filters) if options.group else top_hits(deep)
    if options.diversity:
        hits = diversify_hits(hits, options.diversity, count, space_index)
    return sort_hits(hits[:count], options.sort)


def group_hits(
    top_hits: Callable[[int], list[Hit]], depth: int, count: int, space_index: SpaceIndex, filters: Filters
) -> list[Hit]:
    """Return the groups among the best `deep` hits, looking deeper until there are `count` of them.

    The member of the best quality leads and shows its own score; the others are its `more`, as they are
    ranked. A group holds those of its members that were looked at: what hardly fits the query is none.
    """
    while True:
        hits = top_hits(depth)
        groups = collapse_groups(hits, space_index, filters)
        if len(groups) >= count or len(hits) < depth:
            return groups
        depth *= 4


def collapse_groups(hits: Sequence[Hit], space_index: SpaceIndex, filters: Filters) -> list[Hit]:
    """Return the leaders of groups, in the order of their best-ranked members."""
    members = add_copies(hits, space_index, filters)
    facts = load_hit_attributes(space_index.catalog, members)
    typical = mean_similarity(space_index.background_vectors("image"))
    likeness = similarity_function(space_index.catalog, space_index.space, segment_ids(facts), typical)
    leaders = []
    for rows in group_rows(facts, likeness):
        once = {(facts[row].path, facts[row].segment): row for row in reversed(rows)}  # of captions the best
        leader = rows[by_quality([facts[row] for row in rows])[0]]
        more = tuple(members[row] for row in sorted(once.values()) if row != leader)
        leaders.append(replace(members[leader], more=more))
    return leaders


def add_copies(hits: Sequence[Hit], space_index: SpaceIndex, filters: Filters) -> list[Hit]:
    """Return each hit and, after it, the same in the other places that pass; of a caption its picture."""
    shown = [facts.segment for facts in load_hit_attributes(space_index.catalog, hits)]
    pairs = [(segment, 0.0) for segment in dict.fromkeys(shown)]
    places: dict[int, list[Hit]] = {}
    for place in space_index.catalog.hits(pairs, space_index.space.name, filters, include_copies=True):
        if not filters.kinds or place.kind in filters.kinds:
            places.setdefault(place.id, []).append(place)
    members = []
    for hit, segment in zip(hits, shown, strict=True):
        members.append(hit)
        members += [
            replace(place, score=hit.score, confidence=hit.confidence)
            for place in places.get(segment, ())
            if place.path != hit.path
        ]
    return members


def diversify_hits(hits: Sequence[Hit], diversity: float, count: int, space_index: SpaceIndex) -> list[Hit]:
    """Return `count` of the hits such that each is relevant and unlike those before it."""
    ids, found = space_index.catalog.vectors_of(space_index.space, {hit.id for hit in hits})
    known = dict(zip(ids.tolist(), found, strict=True))
    none = np.zeros(space_index.space.dim, np.float32)  # found by its words before it was embedded
    vectors = np.array([known.get(hit.id, none) for hit in hits], np.float32).reshape(
        -1, space_index.space.dim
    )
    return [hits[row] for row in diversify(relevance(hits), vectors, diversity, count)]


def relevance(hits: Sequence[Hit]) -> Scores:
    """Return from 1, the first, to 0 the number by which the list is ranked: cosine, confidence or place."""
    for values in ([hit.score for hit in hits], [hit.confidence for hit in hits]):
        if None in values:
            continue
        numbers = np.array(values, np.float32)
        if (np.diff(numbers) <= 0).all() and len(numbers) > 1 and numbers[0] > numbers[-1]:
            return np.asarray((numbers - numbers[-1]) / (numbers[0] - numbers[-1]), np.float32)
    return np.linspace(1, 0, len(hits), dtype=np.float32)


def sort_hits(hits: list[Hit], sort: SortOrder) -> list[Hit]:
    """Return the hits in this order, equals as they were ranked; those of no date come last."""
    if sort == "name":
        return sorted(hits, key=lambda hit: (hit.path.name.casefold(), str(hit.path), hit.start or 0.0))
    if sort == "score":
        return hits
    dated = [hit for hit in hits if hit.time]
    dated.sort(key=lambda hit: hit.time or "", reverse=sort == "date-desc")
    return dated + [hit for hit in hits if not hit.time]
