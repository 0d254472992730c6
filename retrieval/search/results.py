"""Postprocess ranked hits: group, diversify and sort them."""

import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from math import inf
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from retrieval.formatting import printable
from retrieval.grouping.attributes import comparison_of, load_hit_attributes, segments_elsewhere
from retrieval.grouping.clusters import group_rows
from retrieval.grouping.quality import by_quality
from retrieval.grouping.similarity import mean_similarity
from retrieval.query.options import SearchOptions
from retrieval.scoring.ranking import diversify
from retrieval.search.hybrid_search import HitRanking
from retrieval.search.request import SearchRequest
from retrieval.types import CONFIDENCE_THRESHOLD, FileAttributes, Filters, Hit, Kind, Scores, SortOrder
from retrieval.vectors.space_index import SpaceIndex

Scale: TypeAlias = NDArray[np.float64]  # (2, n): ascending cosines, and their confidences

CANDIDATES_PER_HIT = 5  # hits that are grouped or diversified for each hit that is returned
MIN_CANDIDATES = 100
DIVERSIFIED_HITS = 100  # that compete for a place; the next ones compete for the next places
DEPTH_GROWTH = 4  # if the groups are too few, this many times as many hits are read


def postprocess(ranking: HitRanking, count: int, options: SearchOptions, request: SearchRequest) -> list[Hit]:
    """Return the best `count` hits of a ranking, grouped, diversified and sorted by the options.

    A group has the rank of its best hit. Sorting never changes which hits are returned.
    """
    if not options.group and not options.diversity:
        return sort_hits(ranking.top(count), options.sort)
    # The first hits must not depend on `count`, so the same ones always compete.
    wanted = -(-count // DIVERSIFIED_HITS) * DIVERSIFIED_HITS if options.diversity else count
    if options.group:
        hits = group_hits(ranking, max(MIN_CANDIDATES, CANDIDATES_PER_HIT * wanted), wanted, request)
    else:
        hits = ranking.top(wanted)
    if options.diversity:
        hits = diversify_hits(hits[:wanted], options.diversity, request.space_index)
    return sort_hits(hits[:count], options.sort)


def group_hits(ranking: HitRanking, depth: int, count: int, request: SearchRequest) -> list[Hit]:
    """Return the groups among the best `depth` hits, or among more if those make fewer than `count`.

    The member of the best quality leads and keeps its own score, but has the confidence of the best match.
    The others are its `more`, in the order of their rank. Members that are not among these hits are left
    out, as they hardly match the query.
    """
    while True:
        hits = ranking.top(depth)
        groups = collapse_groups(hits, request.space_index, request.filters)
        if len(groups) >= count or len(hits) < depth:
            return groups
        depth *= DEPTH_GROWTH


def collapse_groups(hits: Sequence[Hit], space_index: SpaceIndex, filters: Filters) -> list[Hit]:
    """Return the leader of each group, in the order of their best-ranked members."""
    own = load_hit_attributes(space_index.catalog, hits)
    members = add_copies(hits, own, space_index, filters)
    known = dict(zip(map(id, hits), own, strict=True))
    copies = [member for member in members if id(member) not in known]
    known |= dict(zip(map(id, copies), load_hit_attributes(space_index.catalog, copies), strict=True))
    files = [known[id(member)] for member in members]
    baseline = mean_similarity(space_index.background_vectors("image"))
    comparison = comparison_of(space_index.catalog, space_index.space, files, baseline)
    leaders = []
    for rows in group_rows(files, comparison):
        if len(rows) == 1:
            leaders.append(members[rows[0]])
            continue
        # Of several captions of one image, the best.
        distinct = {(files[row].path, files[row].segment): row for row in reversed(rows)}
        leader = rows[by_quality([files[row] for row in rows])[0]]
        more = tuple(members[row] for row in sorted(distinct.values()) if row != leader)
        confidences = [c for row in rows if (c := members[row].confidence) is not None]
        best = replace(
            members[leader],
            more=more,
            confidence=max(confidences, default=None),
            words=max(members[row].words for row in rows),
            has_words=any(members[row].has_words for row in rows),
        )
        leaders.append(best)
    return leaders


def add_copies(
    hits: Sequence[Hit], files: Sequence[FileAttributes], space_index: SpaceIndex, filters: Filters
) -> list[Hit]:
    """Return each hit followed by its copies that pass the filters; for a caption, by its image.

    `files` are the attributes of the hits.
    """
    shown = [file.segment for file in files]
    paths: dict[int, set[bytes]] = {}
    for hit, segment in zip(hits, shown, strict=True):
        paths.setdefault(segment, set()).add(os.fsencode(hit.path))
    scored_ids = [(segment, 0.0) for segment in segments_elsewhere(space_index.catalog, paths)]
    copies: dict[int, list[Hit]] = {}
    for copy in space_index.catalog.hits(scored_ids, space_index.space.name, filters, include_copies=True):
        if not filters.kinds or copy.kind in filters.kinds:
            copies.setdefault(copy.id, []).append(copy)
    members = []
    for hit, segment in zip(hits, shown, strict=True):
        members.append(hit)
        members += [
            replace(
                copy,
                score=hit.score,
                confidence=hit.confidence,
                words=hit.words,
                has_words=hit.has_words,
            )
            for copy in copies.get(segment, ())
            if copy.path != hit.path
        ]
    return members


def diversify_hits(hits: Sequence[Hit], diversity: float, space_index: SpaceIndex) -> list[Hit]:
    """Return the hits ordered so that each is relevant and unlike those before it."""
    ids, stored = space_index.catalog.vectors_of(space_index.space, {hit.id for hit in hits})
    known = dict(zip(ids.tolist(), stored, strict=True))
    none = np.zeros(space_index.space.dim, np.float32)  # a hit by keyword that is not embedded yet
    vectors = np.array([known.get(hit.id, none) for hit in hits], np.float32).reshape(
        -1, space_index.space.dim
    )
    order = np.empty(0, np.int64)
    for start in range(0, len(hits), DIVERSIFIED_HITS):
        part = slice(start, start + DIVERSIFIED_HITS)
        rows = diversify(relevance(hits[part]), vectors[part], diversity, vectors[order])
        order = np.concatenate([order, start + rows])
    return [hits[row] for row in order.tolist()]


def relevance(hits: Sequence[Hit]) -> Scores:
    """Return the relevance of ranked hits, from 1 to 0: by cosine, confidence or rank."""
    for values in ([hit.score for hit in hits], [hit.confidence for hit in hits]):
        if None in values:
            continue
        numbers = np.array(values, np.float32)
        if (np.diff(numbers) <= 0).all() and len(numbers) > 1 and numbers[0] > numbers[-1]:
            return np.asarray((numbers - numbers[-1]) / (numbers[0] - numbers[-1]), np.float32)
    return np.linspace(1, 0, len(hits), dtype=np.float32)


def note_on(hits: Sequence[Hit], request: SearchRequest) -> str | None:
    """Return what a person should know about the hits of a search."""
    notes = [request.exclusion_filter.note]
    texts = request.query.unfamiliar_texts
    if texts and not any(hit.match in ("words", "confident") for hit in hits):
        quoted = ", ".join(f'"{printable(text)}"' for text in texts)
        notes.append(f"The model may not know {quoted}. `clew models` lists the languages of each model.")
    return "\n".join(filter(None, notes)) or None


def merge_by_confidence(rankings: Iterable[Sequence[Hit]], key: Callable[[Hit], Hashable]) -> list[Hit]:
    """Return the hits of several rankings in one: with the words, then by confidence.

    Each ranking keeps its order, but hits without a confidence, as those of a small library, are placed as if
    rated like the hits of the same space and kind in the other rankings, with which their cosines compare.
    Without such hits, or if better than all of them, they come at least after confident hits and before weak
    ones. Of hits with equal keys the best is returned, with a confidence if any of them has one.
    """
    rankings = list(rankings)
    scales = _scales(chain.from_iterable(rankings))
    placed = []
    for ranking in rankings:
        levels = [(False, -inf, 0, 0.0)] * 2  # of the ranking, and of its hits that others place
        for place, hit in enumerate(ranking):
            scale = scales.get((hit.space, hit.kind)) if hit.confidence is None else None
            is_scaled = scale is not None
            own = levels[is_scaled] = max(levels[is_scaled], _level(hit, scale))
            placed.append((own, place, hit))
    placed.sort(key=lambda entry: entry[:2])
    best: dict[Hashable, Hit] = {}
    for _, _, hit in placed:
        if best.setdefault(key(hit), hit).confidence is None and hit.confidence is not None:
            best[key(hit)] = hit
    return list(best.values())


def _scales(hits: Iterable[Hit]) -> dict[tuple[str, Kind], Scale]:
    """Return ascending cosines and their confidences, for each space and kind with rated hits."""
    scales: dict[tuple[str, Kind], dict[float, float]] = {}
    for hit in hits:
        if hit.confidence is not None and not (hit.has_words or hit.words):  # which raise it
            scale = scales.setdefault((hit.space, hit.kind), {0.0: 0.0})
            if hit.usual is not None:
                scale.setdefault(hit.usual, 0.5)
            scale[hit.score] = hit.confidence
    return {key: np.array(sorted(scale.items())).T for key, scale in scales.items()}


def _level(hit: Hit, scale: Scale | None) -> tuple[bool, float, int, float]:
    """Return the sort key of a hit; `scale` is that of its space and kind."""
    if hit.confidence is not None:
        return not hit.has_words, -hit.confidence, 0, 0.0
    if scale is None:
        return not hit.has_words, -CONFIDENCE_THRESHOLD, 1, -hit.score
    cosines, confidences = scale
    if hit.score > cosines[-1]:  # before them
        return not hit.has_words, -max(float(confidences[-1]), CONFIDENCE_THRESHOLD), -1, -hit.score
    level = float(np.interp(hit.score, cosines, confidences))
    return not hit.has_words, -level, 1, -hit.score


def name_key(hit: Hit) -> tuple[bytes, bytes]:
    """Return the sort key by name: that of the file with small ASCII letters, and its path, as in SQLite."""
    return os.fsencode(hit.path.name).lower(), os.fsencode(str(hit.path))


def sort_hits(hits: list[Hit], sort: SortOrder) -> list[Hit]:
    """Return the hits in a sort order; equal hits keep their rank, and hits without a date come last."""
    if sort == "name":
        return sorted(hits, key=lambda hit: (*name_key(hit), hit.start or 0.0))
    if sort == "score":
        return hits
    dated = [hit for hit in hits if hit.time]
    dated.sort(key=lambda hit: hit.time or "", reverse=sort == "date-desc")
    return dated + [hit for hit in hits if not hit.time]
