"""From a ranked list to the list that is shown: spread out, gathered into groups, sorted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrieval.errors import QueryError
from retrieval.grouping.attributes import facts_of_hits, segments
from retrieval.grouping.clusters import best_first, group
from retrieval.grouping.similarity import likeness_of, usual
from retrieval.scoring.ranking import diversify
from retrieval.types import SORTS, Filters, Hit, Scores, Sort
from retrieval.vectors.space_index import Nearest

DEEP = 5  # times as many hits are looked at as are shown, where they are spread or gathered
LEAST = 100  # and at least so many


@dataclass(frozen=True, slots=True)
class Shape:
    """How the best hits are chosen and shown; `diversity` is from 0 (none) to 1 (nothing else)."""

    sort: Sort = "score"
    diversity: float = 0.0
    group: bool = False


def shape_of(sort: str, diversity: float, group: bool) -> Shape:
    """Check and gather what is asked; raises QueryError naming what is wrong."""
    if not 0 <= diversity <= 1:
        raise QueryError(f"diversity {diversity} is out of range; give 0 (none) to 1 (nothing else).")
    for known in SORTS:
        if sort == known:
            return Shape(known, float(diversity), group)
    raise QueryError(f"Hits are not sorted by {sort!r}; they are by {', '.join(SORTS)}.")


def shape(
    best: Callable[[int], list[Hit]], count: int, wanted: Shape, nearest: Nearest, filters: Filters
) -> list[Hit]:
    """Return `count` hits; `best(n)` returns the best n, fewer only where there are no more.

    First groups are gathered, each at the rank of its best-scoring member, then they are spread, and
    what is left of them is sorted: sorting never changes which hits are shown.
    """
    if not wanted.group and not wanted.diversity:
        return arrange(best(count), wanted.sort)
    deep = max(LEAST, DEEP * count)
    hits = gather(best, deep, count, nearest, filters) if wanted.group else best(deep)
    if wanted.diversity:
        hits = spread(hits, wanted.diversity, count, nearest)
    return arrange(hits[:count], wanted.sort)


def gather(
    best: Callable[[int], list[Hit]], deep: int, count: int, nearest: Nearest, filters: Filters
) -> list[Hit]:
    """Return the groups among the best `deep` hits, looking deeper until there are `count` of them.

    The member of the best quality leads and shows its own score; the others are its `more`, as they are
    ranked. A group holds those of its members that were looked at: what hardly fits the query is none.
    """
    while True:
        hits = best(deep)
        groups = groups_of(hits, nearest, filters)
        if len(groups) >= count or len(hits) < deep:
            return groups
        deep *= 4


def groups_of(hits: Sequence[Hit], nearest: Nearest, filters: Filters) -> list[Hit]:
    """Return the leaders of groups, in the order of their best-ranked members."""
    members = with_copies(hits, nearest, filters)
    facts = facts_of_hits(nearest.catalog, members)
    typical = usual(nearest.background("image"))
    likeness = likeness_of(nearest.catalog, nearest.space, segments(facts), typical)
    leaders = []
    for rows in group(facts, likeness):
        once = {(facts[row].path, facts[row].segment): row for row in reversed(rows)}  # of captions the best
        leader = rows[best_first([facts[row] for row in rows])[0]]
        more = tuple(members[row] for row in sorted(once.values()) if row != leader)
        leaders.append(replace(members[leader], more=more))
    return leaders


def with_copies(hits: Sequence[Hit], nearest: Nearest, filters: Filters) -> list[Hit]:
    """Return each hit and, after it, the same in the other places that pass; of a caption its picture."""
    shown = [facts.segment for facts in facts_of_hits(nearest.catalog, hits)]
    pairs = [(segment, 0.0) for segment in dict.fromkeys(shown)]
    places: dict[int, list[Hit]] = {}
    for place in nearest.catalog.hits(pairs, nearest.space.name, filters, copies=True):
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


def spread(hits: Sequence[Hit], diversity: float, count: int, nearest: Nearest) -> list[Hit]:
    """Return `count` of the hits such that each is relevant and unlike those before it."""
    ids, found = nearest.catalog.vectors_of(nearest.space, {hit.id for hit in hits})
    known = dict(zip(ids.tolist(), found, strict=True))
    none = np.zeros(nearest.space.dim, np.float32)  # found by its words before it was embedded
    vectors = np.array([known.get(hit.id, none) for hit in hits], np.float32).reshape(-1, nearest.space.dim)
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


def arrange(hits: list[Hit], sort: Sort) -> list[Hit]:
    """Return the hits in this order, equals as they were ranked; those of no date come last."""
    if sort == "name":
        return sorted(hits, key=lambda hit: (hit.path.name.casefold(), str(hit.path), hit.start or 0.0))
    if sort == "score":
        return hits
    dated = [hit for hit in hits if hit.time]
    dated.sort(key=lambda hit: hit.time or "", reverse=sort == "date-desc")
    return dated + [hit for hit in hits if not hit.time]
