"""Searches by words, pictures and segments."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from time import monotonic
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from retrieval.catalog.browse.facets import cameras_of, facets
from retrieval.catalog.browse.timeline import timeline
from retrieval.errors import QueryError
from retrieval.query.ast import Query as QueryTree
from retrieval.query.filters import REPEATABLE_FILTERS, merge_filters
from retrieval.query.options import SearchOptions
from retrieval.query.parser import parse
from retrieval.server.cursors import MAX_CURSOR_LENGTH, Cursors, Place
from retrieval.server.errors import json_response
from retrieval.server.input import decode_base64, parse_object
from retrieval.server.items import items_of
from retrieval.server.pictures import Pictures
from retrieval.server.queries.offers import narrow_to, read_as
from retrieval.server.queries.query_tokens import QueryToken, add_picture, query_tokens, with_pictures
from retrieval.server.queries.typed_filters import schema, typed_filters
from retrieval.server.schema.answers import SearchAnswer
from retrieval.server.schema.document import BINARY, UNKNOWN_OPERATOR, SegmentId, with_json
from retrieval.server.worker import Worker
from retrieval.types import KINDS, Filters, Hit, Hits

MAX_COUNT = 1_000  # hits of an answer
DEFAULT_COUNT = 40
MAX_QUERY_LENGTH = 4_000  # characters
SORTED_HITS = 1_000  # the best hits, which are sorted by date

FIELDS: dict[str, Any] = {
    "q": {"type": "string", "maxLength": MAX_QUERY_LENGTH},
    "count": {"type": "integer", "minimum": 1, "maximum": MAX_COUNT, "default": DEFAULT_COUNT},
    "cursor": {"type": "string", "maxLength": MAX_CURSOR_LENGTH},
    "order": {"enum": ["score", "date"]},
    "kind": {"type": "array", "items": {"enum": list(KINDS)}},
    "group": {"type": "boolean", "default": True},
    "facets": {"type": "boolean", "default": False},
    "filters": schema(),
    "image": {"type": "string", "description": "A picture in base64, also as a data URI."},
}
FORM_FIELDS = FIELDS | {
    "kind": {"enum": list(KINDS)},
    "filters": {"type": "string", "description": "The object as JSON."},
    "image": BINARY,
}
BODY = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {"type": "object", "properties": FIELDS}},
            "multipart/form-data": {"schema": {"type": "object", "properties": FORM_FIELDS}},
        }
    }
}
FOUND = with_json(SearchAnswer, is_found=True)

router = APIRouter()
Order = Literal["score", "date"]


@dataclass(frozen=True, slots=True)
class SearchCall:
    """The arguments of a search."""

    q: str = ""
    count: int = DEFAULT_COUNT
    cursor: str | None = None
    order: Order = "score"
    kind: tuple[str, ...] = ()
    group: bool = True
    facets: bool = False
    filters: tuple[tuple[str, str], ...] = ()
    picture: str | None = None  # token of a picture that this call has uploaded, and that is in `q`

    @property
    def identity(self) -> tuple[object, ...]:
        """Return what selects and orders the hits. Raises QueryError."""
        return str(parse(self.q)), self.order, self.kind, self.group, self.filters


@dataclass(frozen=True, slots=True)
class Services:
    """What a search uses of the application."""

    worker: Worker
    cursors: Cursors
    pictures: Pictures


class Searcher(Protocol):
    """What these routes search with."""

    async def add_picture(self, request: Request, data: bytes) -> str:
        """Keep a picture for queries, and return its token; raises QueryError."""
        ...

    async def search(self, request: Request, call: SearchCall) -> Response:
        """Answer a search; raises QueryError."""
        ...


@dataclass(frozen=True, slots=True)
class LibrarySearcher:
    """Searches one library."""

    services: Services

    async def add_picture(self, request: Request, data: bytes) -> str:
        """Decode a picture in a thread."""
        worker, pictures = self.services.worker, self.services.pictures
        return await worker.run(
            request, lambda: pictures.add(data, worker.library.embedder.min_image_side), takes_long=True
        )

    async def search(self, request: Request, call: SearchCall) -> Response:
        """Search in a thread."""
        return await self.services.worker.run(request, lambda: json_response(run_search(self.services, call)))


@router.get("/api/search", responses=FOUND)
async def search(
    request: Request,
    q: Annotated[str, Query(max_length=MAX_QUERY_LENGTH)] = "",
    count: Annotated[int, Query(ge=1, le=MAX_COUNT)] = DEFAULT_COUNT,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_LENGTH)] = None,
    order: Order = "score",
    kind: Annotated[list[str] | None, Query()] = None,
    group: bool = True,
    facets: bool = False,
) -> Response:
    """Search by a query in the query language. Without words, list files, newest first."""
    call = SearchCall(q, count, cursor, order, tuple(kind or ()), group, facets)
    return await _searcher_of(request).search(request, call)


@router.post("/api/search", responses=FOUND | UNKNOWN_OPERATOR, openapi_extra=BODY)
async def search_by_body(request: Request) -> Response:
    """Search as GET does, with typed `filters` and with a picture, `image`, in base64 or as a form field."""
    values, image = await _read_body(request)
    call = _call_of(values)
    if image is not None:
        token = await _searcher_of(request).add_picture(request, image)
        call = replace(call, q=add_picture(call.q, token), picture=token)
    return await _searcher_of(request).search(request, call)


@router.get("/api/similar/{segment}", responses=FOUND)
async def similar(
    request: Request,
    segment: SegmentId,
    count: Annotated[int, Query(ge=1, le=MAX_COUNT)] = DEFAULT_COUNT,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_LENGTH)] = None,
) -> Response:
    """Search by a segment alone."""
    return await _searcher_of(request).search(request, SearchCall(f"#{segment}", count, cursor))


def _searcher_of(request: Request) -> Searcher:
    return request.app.state.searcher  # type: ignore[no-any-return]


async def _read_body(request: Request) -> tuple[dict[str, Any], bytes | None]:
    """Return the values of a JSON or form body, and its picture; raises QueryError."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        try:
            return await _read_form(request)
        except UnicodeError as error:  # in the charset of the content type
            raise QueryError("The text of the form cannot be decoded. Use utf-8.") from error
    body = parse_object(await request.body() or b"{}")
    text = body.pop("image", None)
    return body, None if text is None else decode_base64(text, "image")


async def _read_form(request: Request) -> tuple[dict[str, Any], bytes | None]:
    async with request.form(max_files=1, max_fields=20) as form:
        values: dict[str, Any] = {name: value for name, value in form.items() if isinstance(value, str)}
        upload = form.get("image")
        image = None if upload is None or isinstance(upload, str) else await upload.read()
    values.pop("image", None)
    if "filters" in values:
        values["filters"] = parse_object(values["filters"].encode())
    return values, image


def _call_of(values: dict[str, Any]) -> SearchCall:
    """Return the arguments of a body; raises QueryError."""
    known = ("q", "count", "cursor", "order", "kind", "group", "facets", "filters")
    if unknown := values.keys() - set(known):
        raise QueryError(f"Unknown key {sorted(map(str, unknown))[0]!r}. Use {', '.join(known)} or image.")
    try:
        count = int(values.get("count", DEFAULT_COUNT))
    except (TypeError, ValueError, OverflowError) as error:
        raise QueryError("Invalid count. Use a whole number.") from error
    q, cursor, order = values.get("q") or "", values.get("cursor") or None, values.get("order") or "score"
    if not isinstance(q, str) or len(q) > MAX_QUERY_LENGTH or not isinstance(cursor, str | None):
        raise QueryError(f"Invalid q or cursor. Use text of at most {MAX_QUERY_LENGTH:,} characters.")
    if order not in ("score", "date") or not 1 <= count <= MAX_COUNT:
        raise QueryError(f"Invalid order or count. Use score or date, and 1 to {MAX_COUNT:,}.")
    kind = values.get("kind") or ()
    kinds = (kind,) if isinstance(kind, str) else kind
    if not isinstance(kinds, list | tuple):
        raise QueryError("Invalid kind. Use one or a list.")
    return SearchCall(
        q,
        count,
        cursor,
        "date" if order == "date" else "score",
        tuple(map(str, kinds)),
        group=_is_true(values.get("group", True)),
        facets=_is_true(values.get("facets", False)),
        filters=tuple(typed_filters({} if values.get("filters") is None else values["filters"])),
    )


def _is_true(value: object) -> bool:
    return str(value).lower() not in ("0", "false", "none", "")


def run_search(services: Services, call: SearchCall) -> dict[str, object]:
    """Return the answer to a search, as JSON object; raises QueryError."""
    started = monotonic()
    worker, library, catalog = services.worker, services.worker.library, services.worker.catalog
    tokens = query_tokens(call.q)
    query = library.parse(_tree(call, services.pictures))
    options = SearchOptions(group=call.group)
    parts = query.alternatives
    filters = [merge_filters(part.filters, call.kind or None, options) for part in parts]
    has_terms = any(part.terms for part in parts)
    only_filters = filters[0] if not (has_terms or query.exclusions or query.others) else None
    place = services.cursors.find(call.cursor, call.identity)
    before = place.count if place.given is None else len(place.given)
    hits, rest, note = Hits(), False, None
    if only_filters != Filters() or not call.q.strip():
        wanted = before + call.count + 1
        wanted = max(wanted, SORTED_HITS) if call.order == "date" else wanted
        ranked = _ranked(services, query, call, wanted, options)
        hits, rest = next_hits(ranked, place, call.count)
        note = ranked.note
        given = place.given if place.given is not None else tuple(map(keys_of, ranked[: place.count]))
    cursor = services.cursors.save(place, call.identity, [*given, *map(keys_of, hits)]) if rest else None
    applied = [applied_filters(each) for each in filters]
    counts = worker.cached("facets", filters[0], facets) if call.facets and not query.others else None
    confident = [hit for hit in hits if is_confident(hit)]
    counted = only_filters if confident or query.others else filters[0]  # how many items were searched
    best = max((hit.confidence for hit in hits if hit.confidence is not None), default=None)
    return {
        "items": items_of(catalog, hits),
        "cursor": cursor,
        "confident": len(confident),
        "kinds": Counter(hit.kind for hit in confident),
        "best": best,
        "note": note,
        "tokens": [asdict(token) for token in tokens],
        "filters": {"any": applied} if query.others else applied[0],
        "messages": library.unknown_filter_values(query, options, bool(hits)),
        "offers": _offers(worker, tokens, confident if has_terms else []),
        "total": None if counted is None else worker.cached("timeline", counted, timeline).total,
        "picture": call.picture,
        "seconds": round(monotonic() - started, 4),
        "facets": asdict(counts) if counts else None,
    }


def _offers(worker: Worker, tokens: Sequence[QueryToken], confident: Sequence[Hit]) -> dict[str, object]:
    """Return filters to choose from; none is applied unasked."""
    known = worker.cached("facets", Filters(), facets)
    cameras = cameras_of(worker.catalog, [hit.id for hit in confident])
    return {
        "read_as": read_as(tokens, known, date.today()),
        "narrow_to": narrow_to(confident, cameras, tokens),
    }


def _tree(call: SearchCall, pictures: Pictures) -> QueryTree:
    """Return the tree of a query with its pictures, and with the typed filters in each alternative."""
    query = with_pictures(parse(call.q), pictures.find)
    return query.map(lambda part: with_typed_filters(part, call))


def with_typed_filters(part: QueryTree, call: SearchCall) -> QueryTree:
    """Return an alternative with the typed filters; raises QueryError if they would pass more files."""
    given = {name for name, _ in part.filters} | ({"kind"} if call.kind else set())
    for name, _ in call.filters:
        if name in given and name in REPEATABLE_FILTERS and name != "tag":
            raise QueryError(f"{name} is in the query and in filters, which would pass either. Give it once.")
    return replace(part, filters=part.filters + call.filters)


def _ranked(
    services: Services, query: QueryTree, call: SearchCall, count: int, options: SearchOptions
) -> Hits:
    """Return the best hits, by date only the confident ones before the others; by default newest first."""
    if query == QueryTree() and not call.kind:
        query = QueryTree(filters=(("after", "0001"),))  # every file
    hits = services.worker.library.search(query, kind=call.kind or None, count=count, options=options)
    if call.order == "date" and any(part.terms for part in query.alternatives):
        return Hits(by_date(hits), hits.note)
    return hits


def by_date(hits: Sequence[Hit]) -> list[Hit]:
    """Return the confident hits, newest first, and then the others."""
    confident = [hit for hit in hits if is_confident(hit)]
    confident.sort(key=lambda hit: hit.time or "", reverse=True)
    return [*confident, *(hit for hit in hits if not is_confident(hit))]


def next_hits(ranked: Sequence[Hit], place: Place, count: int) -> tuple[Hits, bool]:
    """Return the next hits of a list that were not given, alone or in a group, and True if more follow."""
    if place.given is None:
        remaining = ranked[place.count :]
    else:
        given = {key for keys in place.given for key in keys}
        remaining = [
            replace(hit, more=tuple(member for member in hit.more if _key_of(member) not in given))
            for hit in ranked
            if _key_of(hit) not in given
        ]
    return Hits(remaining[:count]), len(remaining) > count


def keys_of(hit: Hit) -> tuple[tuple[int, str], ...]:
    """Return the keys of a hit and its group in a list."""
    return tuple(map(_key_of, (hit, *hit.more)))


def _key_of(hit: Hit) -> tuple[int, str]:
    return hit.id, str(hit.path)  # copies and captioned images share their segment


def is_confident(hit: Hit) -> bool:
    """Return True if a hit is counted as a match; without calibration every hit is."""
    return hit.match in ("words", "confident", None)


def applied_filters(filters: Filters) -> dict[str, object]:
    """Return the filters that were applied."""
    values = {each.name: getattr(filters, each.name) for each in fields(filters)}
    excluded = [applied_filters(each) for each in values.pop("none")]
    return {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name, value in values.items()
        if value not in (None, "", (), frozenset())
    } | ({"none": excluded} if excluded else {})
