"""Routes that ask one library or all, and merge the answers."""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, Response

from retrieval.catalog.browse.timeline import MAX_LISTED
from retrieval.errors import QueryError
from retrieval.query.parser import parse
from retrieval.server.dialects.embeddings import BODY as EMBEDDINGS_BODY
from retrieval.server.dialects.knn_service import BODY as KNN_BODY
from retrieval.server.dialects.knn_service import METADATA_BODY, parse_ids
from retrieval.server.errors import NotFound, json_response
from retrieval.server.gateway import browse
from retrieval.server.gateway.ids import split, with_joined_ids
from retrieval.server.gateway.queries import QueryWriter, without_segments
from retrieval.server.gateway.served_library import ServedLibrary, ask_all
from retrieval.server.input import parse_object
from retrieval.server.routes.browse import MAX_SUGGESTIONS, MonthName, Offset, QueryText
from retrieval.server.routes.export import EXPORT, ExportCall
from retrieval.server.routes.segments import CLIP, MEDIA, THUMBNAIL, SegmentsCall
from retrieval.server.schema.answers import (
    CompletionsAnswer,
    EmbeddingsAnswer,
    FacetsAnswer,
    HealthAnswer,
    KnnResult,
    MetadataResult,
    ModelsAnswer,
    MonthAnswer,
    PassagesAnswer,
    SegmentAnswer,
    SegmentsAnswer,
    StatusAnswer,
    TimelineAnswer,
    WordsAnswer,
)
from retrieval.server.schema.document import SegmentId, with_json
from retrieval.server.worker import unless_gone

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Gateway:
    """The libraries, and what writes a query for each of them."""

    members: Sequence[ServedLibrary]
    writer: QueryWriter
    started: float

    @classmethod
    def of(cls, request: Request) -> "Gateway":
        """Return the gateway that answers a request."""
        return request.app.state.gateway  # type: ignore[no-any-return]

    def owner(self, id_: int) -> tuple[ServedLibrary, int]:
        """Return the library of a segment, and its id there; raises NotFound."""
        number, own_id = split(id_)
        if number >= len(self.members) or not own_id:
            raise NotFound(f"#{id_} is in none of the libraries.")
        return self.members[number], own_id

    def by_owner(self, ids: Iterable[int]) -> dict[ServedLibrary, list[int]]:
        """Return the own ids of the segments of each library; those of none are left out."""
        owned = dict[ServedLibrary, list[int]]()
        for number, own_id in map(split, dict.fromkeys(ids)):
            if number < len(self.members) and own_id:
                owned.setdefault(self.members[number], []).append(own_id)
        return owned

    async def answer_of_all(
        self, ask: Callable[[ServedLibrary], Awaitable[Any]], merge: Callable[[list[Any]], dict[str, object]]
    ) -> Response:
        """Return the merged answer of the libraries that answer; raises ClewError if none does."""

        async def mergeable(member: ServedLibrary) -> Any:
            answer = await ask(member)
            with member.reading():
                merge([answer])
            return answer

        answers, _ = await ask_all(self.members, mergeable)
        return json_response(merge(list(answers.values())))

    async def written(self, q: str, member: ServedLibrary) -> str:
        """Return the text of a query for one library; raises QueryError and NotFound."""
        query = parse(q)
        return self.writer.write(query, member, await self.writer.picture_tokens(query)).q


@router.get("/api/segments/{segment}", responses=with_json(SegmentAnswer, is_found=True))
async def details(
    request: Request, segment: SegmentId, q: Annotated[str, Query(max_length=4_000)] = ""
) -> Response:
    """Return everything that its library knows of a segment, and why it matches a query."""
    gateway = Gateway.of(request)
    member, own_id = gateway.owner(segment)

    async def describe() -> Response:
        params = {"q": await gateway.written(q, member)}
        answer = await member.ask_json("GET", f"/api/segments/{own_id}", params=params)
        with member.reading():
            return json_response(with_joined_ids(answer, member.number) | {"library": member.name})

    return await unless_gone(request, describe())


@router.post("/api/segments", responses=with_json(SegmentsAnswer))
async def describe_segments(request: Request, call: SegmentsCall) -> Response:
    """Return segments as a search returns hits, in the order of their ids; unknown ones are left out."""
    owned, found = Gateway.of(request).by_owner(call.ids), dict[int, dict[str, Any]]()

    async def describe(member: ServedLibrary) -> None:
        answer = await member.ask_json("POST", "/api/segments", body={"ids": owned[member]})
        with member.reading():
            for item in with_joined_ids(answer["items"], member.number):
                found[item["id"]] = item | {"library": member.name}

    await unless_gone(request, ask_all(list(owned), describe))
    return json_response({"items": [found[id_] for id_ in dict.fromkeys(call.ids) if id_ in found]})


@router.get("/api/segments/{segment}/thumbnail", response_class=Response, responses=THUMBNAIL)
async def thumbnail(request: Request, segment: SegmentId) -> Response:
    """Return the stored thumbnail as WebP of at most 320 pixels a side."""
    return await _forward(request, segment, "thumbnail")


@router.get("/api/segments/{segment}/media", response_class=Response, responses=MEDIA)
async def media(request: Request, segment: SegmentId) -> Response:
    """Return the file of a segment, or a range of it, with the parameters `download`, `page` and `width`."""
    return await _forward(request, segment, "media")


@router.get("/api/segments/{segment}/clip", response_class=Response, responses=CLIP)
async def clip(request: Request, segment: SegmentId) -> Response:
    """Cut a moment, from `start` to `end` in seconds, out of a video or audio file."""
    return await _forward(request, segment, "clip")


@router.get("/api/segments/{segment}/text", responses=with_json(PassagesAnswer, is_found=True))
async def text(request: Request, segment: SegmentId) -> Response:
    """Return a passage with those before and after it."""
    return await _own_answer(request, segment, "text")


@router.get("/api/segments/{segment}/words", responses=with_json(WordsAnswer, is_found=True))
async def words(request: Request, segment: SegmentId) -> Response:
    """Return where words are on the page of a PDF, as shares of its width and height."""
    return await _own_answer(request, segment, "words")


async def _forward(request: Request, segment: int, name: str) -> Response:
    member, own_id = Gateway.of(request).owner(segment)
    return await member.forward(request, f"/api/segments/{own_id}/{name}")


async def _own_answer(request: Request, segment: int, name: str) -> Response:
    """Return the answer of the library of a segment to the same request."""
    member, own_id = Gateway.of(request).owner(segment)
    path = f"/api/segments/{own_id}/{name}?{request.url.query}"
    answer = await unless_gone(request, member.ask_json("GET", path))
    with member.reading():
        return json_response(with_joined_ids(answer, member.number))


@router.get("/api/timeline", responses=with_json(TimelineAnswer))
async def timeline(request: Request, q: QueryText = "") -> Response:
    """Return the number of files in each year and month, newest first; of a query, only filters count."""
    return await _ask_each(request, "/api/timeline", browse.summed_timelines, q)


@router.get("/api/timeline/{month}", responses=with_json(MonthAnswer))
async def month_of_timeline(
    request: Request,
    month: MonthName,
    offset: Offset = 0,
    q: QueryText = "",
) -> Response:
    """Return up to 2,000 files of a month, latest day first, a list for each key."""
    query = without_segments(q)

    async def from_start(member: ServedLibrary) -> dict[str, Any]:
        """Return the files of a library in this month up to the end of the answer."""
        lists: dict[str, list[Any]] = {name: [] for name in browse.MONTH_LISTS}
        more, params = True, {"q": query}
        while more and len(lists["id"]) <= offset + MAX_LISTED:
            part = params | {"offset": str(len(lists["id"]))}
            answer = await member.ask_json("GET", f"/api/timeline/{month}", params=part)
            with member.reading():
                for name, values in lists.items():
                    values += with_joined_ids(answer[name], member.number, name)
                more = answer["more"] and bool(answer["id"])
        return lists | {"more": more}

    asked = Gateway.of(request).answer_of_all(
        from_start, lambda answers: browse.merged_months(answers, offset, MAX_LISTED)
    )
    return await unless_gone(request, asked)


@router.get("/api/facets", responses=with_json(FacetsAnswer))
async def list_facets(request: Request, q: QueryText = "") -> Response:
    """Return the values of filters with their counts; of a query, only filters count."""
    return await _ask_each(request, "/api/facets", browse.merged_facets, q)


@router.get("/api/suggest", responses=with_json(CompletionsAnswer))
async def suggest(
    request: Request, q: QueryText = "", caret: Annotated[int | None, Query(ge=0, le=4_000)] = None
) -> Response:
    """Return completions of the filter or name at the caret, with the number of its files."""
    asked = Gateway.of(request).answer_of_all(
        lambda member: member.ask_json("GET", "/api/suggest", params={"q": q, "caret": caret}),
        lambda answers: browse.merged_completions(answers, MAX_SUGGESTIONS),
    )
    return await unless_gone(request, asked)


@router.get("/api/status", responses=with_json(StatusAnswer))
async def status(request: Request) -> Response:
    """Return the contents and settings of the libraries, and what is missing of them now."""
    return await _ask_each(request, "/api/status", browse.merged_status)


async def _ask_each(
    request: Request, path: str, merge: Callable[[list[Any]], dict[str, object]], q: str = ""
) -> Response:
    """Return the merged answers of all libraries to a query of which only filters count."""
    params = {"q": without_segments(q)}
    asked = Gateway.of(request).answer_of_all(
        lambda member: member.ask_json("GET", path, params=params), merge
    )
    return await unless_gone(request, asked)


@router.post("/api/export", response_class=Response, responses=EXPORT)
async def export(request: Request, call: ExportCall) -> Response:
    """Return the paths of hits, their captions as JSON Lines, their files as ZIP, or the size of these.

    A ZIP has the files of one library. In a list, the files of each library follow each other.
    """
    owned = Gateway.of(request).by_owner(call.ids)
    if not owned:
        raise NotFound("None of these segments is in the libraries.")
    if call.format == "zip" and len(owned) > 1:
        raise QueryError("A ZIP has the files of one library. Choose those of one, or export the list.")
    parts, totals = list[bytes](), {"bytes": 0, "files": 0}
    for member, ids in owned.items():
        body = {"ids": ids, "format": call.format}
        if call.format == "zip":
            return await member.forward(request, "/api/export", body)
        try:
            parts.append(await unless_gone(request, member.ask("POST", "/api/export", body=body)))
        except NotFound:  # its segments are not in the library any more
            continue
        if call.format == "size":
            with member.reading():
                size = json.loads(parts[-1])
                totals = {name: total + size[name] for name, total in totals.items()}
    if not parts:
        raise NotFound("None of these segments is in the libraries.")
    if call.format == "size":
        return json_response(totals)
    name, kind = ("clew-list.txt", "text/plain; charset=utf-8")
    if call.format == "captions":
        name, kind = "captions.jsonl", "application/jsonl"
    return Response(b"".join(parts), 200, {"Content-Disposition": f'attachment; filename="{name}"'}, kind)


@router.get("/healthz", responses=with_json(HealthAnswer))
async def health() -> Response:
    """Return that the server answers."""
    return json_response({"status": "ok"})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return counters for Prometheus; calls are those in libraries of this process."""
    gateway = Gateway.of(request)
    workers = [member.app.state.worker for member in gateway.members if member.app is not None]
    gauges: dict[str, float] = {
        f"calls_{name}": sum(getattr(worker, name) for worker in workers)
        for name in ("running", "waiting", "dropped", "refused")
    }
    gauges |= {"uptime_seconds": monotonic() - gateway.started, "libraries": len(gateway.members)}
    text = request.app.state.metrics.text(gauges)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/indices-list", responses=with_json(list[str]))
async def indices_list(request: Request) -> Response:
    """Return the names of the libraries."""
    return json_response([member.name for member in Gateway.of(request).members])


@router.post("/knn-service", responses=with_json(list[KnnResult]), openapi_extra=KNN_BODY)
async def knn_service(request: Request) -> Response:
    """Search the library that `indice_name` names, by default the first: similarities depend on the model."""
    body = parse_object(await request.body())
    member = _named(request, body.pop("indice_name", None))
    results = await unless_gone(request, member.ask_json("POST", "/knn-service", body=body))
    with member.reading():
        return json_response([_with_address(each, request, member) for each in results])


@router.post("/metadata", responses=with_json(list[MetadataResult]), openapi_extra=METADATA_BODY)
async def metadata(request: Request) -> Response:
    """Return the descriptions of results by their ids; ids that do not exist any more are left out."""
    asked, found = parse_ids(parse_object(await request.body())), dict[int, Any]()
    owned = Gateway.of(request).by_owner(asked)

    async def describe(member: ServedLibrary) -> None:
        answer = await member.ask_json("POST", "/metadata", body={"ids": owned[member]})
        with member.reading():
            for each in answer:
                described = with_joined_ids({"id": each["id"]}, member.number)
                found[described["id"]] = described | {
                    "metadata": _with_address(each["metadata"], request, member)
                }

    await unless_gone(request, ask_all(list(owned), describe))
    return json_response([found[id_] for id_ in asked if id_ in found])


def _with_address(value: dict[str, Any], request: Request, member: ServedLibrary) -> dict[str, Any]:
    """Return a result with the address of its media on this server."""
    joined: dict[str, Any] = with_joined_ids(value, member.number)
    _, found, path = str(joined.get("url", "")).partition("/api/segments/")
    own = f"{request.base_url}api/segments/{path}" if found else ""  # no address of another server
    return joined | ({"url": own} if "url" in joined else {})


def _named(request: Request, name: object) -> ServedLibrary:
    """Return the library with a name; raises QueryError."""
    members = Gateway.of(request).members
    if name is None:
        return members[0]
    for member in members:
        if member.name == name:
            return member
    raise QueryError("Unknown indice_name. /indices-list has the names of the libraries.")


@router.post("/v1/embeddings", responses=with_json(EmbeddingsAnswer), openapi_extra=EMBEDDINGS_BODY)
async def create_embeddings(request: Request) -> Response:
    """Return the unit vectors of texts, or of pictures in data URIs, by the model of the first library."""
    body = parse_object(await request.body())
    answer = await unless_gone(request, _first(request).ask_json("POST", "/v1/embeddings", body=body))
    return json_response(answer)


@router.get("/v1/models", responses=with_json(ModelsAnswer))
async def list_models(request: Request) -> Response:
    """Return the model of the first library."""
    return json_response(await _first(request).ask_json("GET", "/v1/models"))


def _first(request: Request) -> ServedLibrary:
    return Gateway.of(request).members[0]
