"""Search by the API of clip-retrieval, as the client and the page of its version 2.45 call it.

They send JSON without a content type, or as text. The models, safety filters and scores of the original are
accepted and ignored: the library is searched with its own model.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from retrieval.catalog.browse.captions import first_captions
from retrieval.errors import QueryError
from retrieval.library import Library
from retrieval.query.ast import Query, Term, Words
from retrieval.query.options import SearchOptions
from retrieval.server.errors import json_response
from retrieval.server.input import decode_base64, decode_picture, parse_object
from retrieval.server.schema.answers import KnnResult, MetadataResult
from retrieval.server.schema.document import json_body, with_json
from retrieval.server.worker import Worker
from retrieval.types import VISUAL_KINDS, Filters, Hit, Kind

MAX_RESULTS = 10_000  # ids of an answer
MAX_DESCRIBED = 1_000  # results with a picture; /metadata describes the others
MAX_TEXT_LENGTH = 4_000  # characters
KINDS_OF_MODALITY: dict[str, tuple[Kind, ...]] = {"image": VISUAL_KINDS, "text": ("text", "audio")}
BODY = json_body(
    text={"type": ["string", "null"], "maxLength": MAX_TEXT_LENGTH},
    image={"type": ["string", "null"], "description": "A picture in base64."},
    image_url={"type": ["string", "null"], "description": "Refused: addresses are not downloaded."},
    embedding_input={"type": ["array", "null"], "items": {"type": "number"}},
    modality={"enum": list(KINDS_OF_MODALITY)},
    num_images={"type": "integer", "minimum": 1},
    num_result_ids={"type": "integer", "minimum": 1},
    deduplicate={"type": "boolean"},
)
METADATA_BODY = json_body(
    ("ids",), ids={"type": "array", "items": {"type": "integer"}, "maxItems": MAX_DESCRIBED}
)

router = APIRouter()


@dataclass(frozen=True, slots=True)
class KnnCall:
    """The arguments of a search; the first of text, image and vector that is given is the query."""

    text: str | None
    image: bytes | None
    vector: Sequence[float] | None
    kinds: tuple[Kind, ...]
    described: int  # results that are described
    count: int
    deduplicate: bool


@router.get("/indices-list", responses=with_json(list[str]))
async def indices_list(request: Request) -> Response:
    """Return the names of the indexes: that of the library's vector space."""
    worker = request.app.state.worker
    return await worker.run(request, lambda: json_response([_space_name(worker)]))  # type: ignore[no-any-return]


@router.post("/knn-service", responses=with_json(list[KnnResult]), openapi_extra=BODY)
async def knn_service(request: Request) -> Response:
    """Return the results most similar to a text, picture or vector, best first; the first are described."""
    worker, body, address = request.app.state.worker, await request.body(), str(request.base_url)
    call = await run_in_threadpool(lambda: parse_call(parse_object(body)))

    def answer() -> Response:
        hits = search(worker.library, call)
        described = describe(worker, hits[: call.described], address)
        return json_response(
            [
                (described[place] if place < len(described) else {})
                | {"id": hit.id, "similarity": round(hit.score, 6)}
                for place, hit in enumerate(hits)
            ]
        )

    return await worker.run(request, answer, takes_long=call.image is not None)  # type: ignore[no-any-return]


@router.post("/metadata", responses=with_json(list[MetadataResult]), openapi_extra=METADATA_BODY)
async def metadata(request: Request) -> Response:
    """Return the descriptions of results by their ids; ids that do not exist any more are left out."""
    worker, body, address = request.app.state.worker, await request.body(), str(request.base_url)

    def answer() -> Response:
        ids = parse_ids(parse_object(body))
        hits = worker.catalog.hits([(id_, 0.0) for id_ in dict.fromkeys(ids)], "", Filters())
        described = describe(worker, hits, address)
        found = {hit.id: values for hit, values in zip(hits, described, strict=True)}
        return json_response([{"id": id_, "metadata": found[id_]} for id_ in ids if id_ in found])

    return await worker.run(request, answer)  # type: ignore[no-any-return]


def parse_ids(values: dict[str, Any]) -> list[int]:
    """Return the ids of a body; raises QueryError."""
    ids = values.get("ids")
    if not isinstance(ids, list) or not all(type(id_) is int and 0 < id_ < 2**63 for id_ in ids):
        raise QueryError("Invalid ids. Use a list of the `id` of results.")
    if len(ids) > MAX_DESCRIBED:
        raise QueryError(f"Too many ids. Send at most {MAX_DESCRIBED:,} at once.")
    return ids


def parse_call(values: dict[str, Any]) -> KnnCall:
    """Return the arguments of a body; raises QueryError."""
    text, image, vector = (
        values.get("text") or None,
        values.get("image") or None,
        values.get("embedding_input"),
    )
    if text is not None and (not isinstance(text, str) or len(text) > MAX_TEXT_LENGTH):
        raise QueryError(f"Invalid text. Use at most {MAX_TEXT_LENGTH:,} characters.")
    if text is None and image is None and values.get("image_url"):
        raise QueryError("image_url is not downloaded by the server. Send the picture itself as `image`.")
    if text is None and image is None and vector is None:
        raise QueryError("The query is empty. Give text, image or embedding_input.")
    if vector is not None and not isinstance(vector, list):
        raise QueryError("Invalid embedding_input. Use a list of numbers.")
    modality = values.get("modality", "image")
    if not isinstance(modality, str) or modality not in KINDS_OF_MODALITY:
        raise QueryError("Invalid modality. Use image or text.")
    described = _count(values, "num_images", 40)
    return KnnCall(
        text=text,
        image=decode_base64(image, "image") if text is None and image is not None else None,
        vector=vector if text is None and image is None else None,
        kinds=KINDS_OF_MODALITY[modality],
        described=min(described, MAX_DESCRIBED),
        count=min(_count(values, "num_result_ids", described), MAX_RESULTS),
        deduplicate=bool(values.get("deduplicate")),
    )


def _count(values: dict[str, Any], name: str, default: int) -> int:
    try:
        count = int(values.get(name, default))
    except (TypeError, ValueError, OverflowError) as error:
        raise QueryError(f"Invalid {name}. Use a whole number.") from error
    if count < 1:
        raise QueryError(f"Invalid {name}. Use 1 or more.")
    return count


def search(library: Library, call: KnnCall) -> list[Hit]:
    """Return the hits of a call by similarity, each segment once."""
    options = SearchOptions(by="meaning", group=call.deduplicate)
    if call.vector is not None:
        hits = library.nearest(call.vector, kind=call.kinds, count=call.count, options=options)
    elif call.text is not None:  # literally, as the original has no query language
        query = Query((Term(Words(((call.text, False),))),))
        hits = library.search(query, kind=call.kinds, count=call.count, options=options)
    else:
        picture = decode_picture(io.BytesIO(call.image or b""), library.embedder.min_image_side)
        hits = library.search(image=picture, kind=call.kinds, count=call.count, options=options)
    distinct = {hit.id: hit for hit in reversed(hits)}
    return sorted(distinct.values(), key=lambda hit: -hit.score)


def describe(worker: Worker, hits: Sequence[Hit], address: str) -> list[dict[str, object]]:
    """Return the url, caption, path and picture of each hit; without a thumbnail, no picture."""
    captions = first_captions(worker.catalog, [hit.id for hit in hits])
    described = []
    for hit in hits:
        values: dict[str, object] = {
            "url": f"{address}api/segments/{hit.id}/media",
            "caption": hit.text or captions.get(hit.id, ""),
            "image_path": str(hit.path),
        }
        webp = worker.library.thumbnail(hit)
        if webp is not None:
            values["image"] = base64.b64encode(webp_to_jpeg(webp)).decode()
        described.append(values)
    return described


def webp_to_jpeg(webp: bytes) -> bytes:
    """Return a stored thumbnail as JPEG."""
    from PIL import Image  # late: most requests have no picture

    with Image.open(io.BytesIO(webp), formats=("WEBP",)) as image, io.BytesIO() as file:
        image.convert("RGB").save(file, "JPEG", quality=85)
        return file.getvalue()


def _space_name(worker: Worker) -> str:
    space = worker.library.status().space
    return "clew" if space is None else space.name
