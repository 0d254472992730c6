"""The ranked hits of one kind: segments joined to files, filtered and deduplicated, page by page."""

from collections.abc import Hashable, Iterator
from dataclasses import replace

from retrieval.search.request import SearchRequest
from retrieval.types import Hit, Ids, Kind

# Of several kinds that are merged, usually only a few hits of each are returned, so pages begin small.
MERGED_PAGE_SIZE, MERGED_PAGE_GROWTH = 32, 2
MAX_MISSING_HITS = 200  # of deleted files that are read; beyond, only segments with files are searched


def kind_hits(
    request: SearchRequest, kind: Kind, page_size: int, among: Ids | None = None
) -> Iterator[list[Hit]]:
    """Yield pages of the hits of a kind, best first; of each image only the part that fits best.

    A page has at most `page_size` hits at first. With `among`, ascending, only hits of these segments, which
    pass the filters. The pages end early if the exclusions of the query drop nearly everything.
    """
    seen = set[Hashable]()
    for page in _located_hits(request, kind, page_size + len(request.excluded_ids), among):
        hits = request.exclusion_filter.apply(page)
        yield deduplicate(hits, seen) if kind == "image" else hits


def _located_hits(
    request: SearchRequest, kind: Kind, page_size: int, among: Ids | None
) -> Iterator[list[Hit]]:
    """Yield pages of segments, best first, as hits at the files that pass the filters."""
    filters = replace(request.filters, kinds=frozenset({kind}))
    if among is not None:
        ranking = request.space_index.ranking_among(request.query.vector, kind, among, request.query.mode)
    elif filters.has_non_kind_filters:
        ranking = request.space_index.ranking(request.query.vector, kind, filters, request.query.mode)
    else:
        ranking = request.rankings.of(kind)
    if ranking.is_exact and not request.query.exclusions:  # they may drop most of a page
        pages = ranking.pages(min(page_size, MERGED_PAGE_SIZE), MERGED_PAGE_GROWTH)
    else:
        pages = ranking.pages(page_size)
    missing = 0
    for scores, ids in pages:
        if request.exclusion_filter.is_exhausted([kind]):
            return
        ids, scores = request.exclusion_filter.apply_to_ids(ids, scores, kind)
        scored_ids = [
            scored
            for scored in request.scales.of(kind).scored_ids(ids, scores)
            if scored[0] not in request.excluded_ids
        ]
        # Segments of deleted files have no hits, so a page may be short; the next one is larger.
        hits = request.catalog.hits(scored_ids, request.space_index.space.name, filters)
        missing += len(scored_ids) - len({hit.id for hit in hits})
        if missing > MAX_MISSING_HITS and not ranking.is_filtered:
            ranking.restrict(request.space_index.allowed_ids(filters))
        yield hits


def deduplicate(hits: list[Hit], seen: set[Hashable]) -> list[Hit]:
    """Return the first hit of each result that is not in `seen`, and add those to it."""
    first = []
    for hit in hits:
        if (key := result_key(hit)) not in seen:
            seen.add(key)
            first.append(hit)
    return first


def result_key(hit: Hit) -> Hashable:
    """Return what a user would open: the image of an image or caption, a page, else the segment."""
    if hit.page is not None:
        return hit.path, hit.page
    described = hit.kind == "text" and (hit.start is None or (hit.source is not None and not hit.timed))
    return hit.path if hit.kind == "image" or described else hit.id
