"""The library by time, and the values of filters."""

import re
from collections import Counter
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from starlette.responses import Response

from retrieval.catalog.browse import timeline as times
from retrieval.catalog.browse.facets import Facets, facets
from retrieval.errors import QueryError
from retrieval.library import Library
from retrieval.query.filters import merge_filters
from retrieval.query.options import DEFAULT_OPTIONS, FILTER_NAMES
from retrieval.server.errors import json_response
from retrieval.server.queries.offers import quoted
from retrieval.server.schema.answers import CompletionsAnswer, FacetsAnswer, MonthAnswer, TimelineAnswer
from retrieval.server.schema.document import with_json
from retrieval.types import KINDS, ORIENTATIONS, Filters

MAX_SUGGESTIONS = 8

router = APIRouter()
MonthName = Annotated[str, PathParameter(pattern=r"^\d{4}-\d{2}$")]
Offset = Annotated[int, Query(ge=0, le=10**9)]
QueryText = Annotated[str, Query(max_length=4_000)]


def filters_of(library: Library, q: str) -> Filters:
    """Return the filters of a query and its saved searches; raises QueryError for alternatives."""
    query = library.parse(q)
    if query.others:
        raise QueryError('Files are counted for one set of filters. Ask for each side of "|" on its own.')
    return merge_filters(query.filters, None, DEFAULT_OPTIONS)


@router.get("/api/timeline", responses=with_json(TimelineAnswer))
async def timeline(request: Request, q: QueryText = "") -> Response:
    """Return the number of files in each year and month, newest first; of a query, only filters count."""
    worker = request.app.state.worker

    def read() -> Response:
        filters = filters_of(worker.library, q)
        found = worker.cached("timeline", filters, times.timeline)
        buckets = [{"month": month, "count": count} for month, count in found.months.items()]
        return json_response(
            {"total": found.total, "years": found.years, "buckets": buckets, "undated": found.undated}
        )

    return await worker.run(request, read)  # type: ignore[no-any-return]


@router.get("/api/timeline/{month}", responses=with_json(MonthAnswer))
async def month_of_timeline(
    request: Request,
    month: MonthName,
    offset: Offset = 0,
    q: QueryText = "",
) -> Response:
    """Return up to 2,000 files of a month, newest first, a list for each key."""
    worker = request.app.state.worker

    def read() -> Response:
        limit = times.MAX_LISTED
        filters = filters_of(worker.library, q)
        hits, displays = times.files_of_month(worker.catalog, month, filters, offset, limit + 1)
        more, hits = len(hits) > limit, hits[:limit]
        shown = [displays[hit.id] for hit in hits]
        return json_response(
            {
                "id": [hit.id for hit in hits],
                "ratio": [
                    None if hit.kind in ("text", "audio") else each.ratio
                    for hit, each in zip(hits, shown, strict=True)
                ],
                "placeholder": [each.placeholder for each in shown],
                "kind": [hit.kind for hit in hits],
                "duration": [each.duration for each in shown],
                "day": [int((hit.time or "")[8:10] or 1) for hit in hits],
                "folder": [hit.path.parent.name for hit in hits],
                "name": [hit.path.name for hit in hits],
                "thumbnail": [each.has_thumbnail for each in shown],
                "offline": [hit.offline for hit in hits],
                "offset": offset,
                "more": more,
            }
        )

    return await worker.run(request, read)  # type: ignore[no-any-return]


@router.get("/api/facets", responses=with_json(FacetsAnswer))
async def list_facets(request: Request, q: QueryText = "") -> Response:
    """Return the values of filters with their counts; of a query, only filters count."""
    worker = request.app.state.worker

    def read() -> Response:
        concepts = {concept.name: concept.positives for concept in worker.library.concepts()}
        found = asdict(worker.cached("facets", filters_of(worker.library, q), facets))
        return json_response(found | {"concepts": concepts, "saved": worker.library.saved_searches()})

    return await worker.run(request, read)  # type: ignore[no-any-return]


@router.get("/api/suggest", responses=with_json(CompletionsAnswer))
async def suggest(
    request: Request, q: QueryText = "", caret: Annotated[int | None, Query(ge=0, le=4_000)] = None
) -> Response:
    """Return completions of the filter or name at the caret, with the number of its files."""
    worker = request.app.state.worker

    def read() -> Response:
        written = re.split(r"\s", q[: len(q) if caret is None else caret])[-1]
        sign, written = ("-", written[1:]) if written.startswith("-") else ("", written)
        key, colon, start = written.partition(":")
        if written.startswith("@"):
            found = {f"@{each.name}": each.positives for each in worker.library.concepts()}
            found |= {f"@{name}": 0 for name in worker.library.saved_searches()}
            start = written
        elif colon and key in FILTER_NAMES:
            found = _values(key, worker.cached("facets", Filters(), facets))
        else:
            found = {}
        is_name = written.startswith("@")
        near = [(value, n) for value, n in found.items() if start.strip('"').casefold() in value.casefold()]
        near.sort(key=lambda pair: (not pair[0].casefold().startswith(start.casefold()), -pair[1]))
        return json_response(
            {
                "tokens": [
                    {
                        "token": value if is_name else f"{sign}{key}:{quoted(value)}",
                        "label": value,
                        "count": count,
                    }
                    for value, count in near[:MAX_SUGGESTIONS]
                ]
            }
        )

    return await worker.run(request, read)  # type: ignore[no-any-return]


def _values(key: str, found: Facets) -> dict[str, int]:
    """Return the values of a filter with their counts."""
    if key == "kind":
        return {kind: found.kinds.get(kind, 0) for kind in KINDS}
    if key == "orientation":
        return dict.fromkeys(ORIENTATIONS, 0)
    if key == "under":
        counts = Counter[str]()
        for folder, count in found.folders.items():  # a filter selects all folders with this name
            counts[folder.rpartition("/")[2] or folder] += count
        return counts
    if key in ("date", "after", "before"):
        return found.years | found.months
    return {"camera": found.cameras, "tag": found.tags}.get(key, {})
