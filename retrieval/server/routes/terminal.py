"""Searches of `clew search` in a terminal of the same user, through the socket of a library."""

import json
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from retrieval.query.options import SearchOptions
from retrieval.server.errors import error_response
from retrieval.server.security import is_from_user_socket
from retrieval.server.worker import Worker

router = APIRouter(include_in_schema=False)


@router.post("/terminal/search")
async def search(request: Request) -> Response:
    """Answer a search with everything that the command shows."""
    if not is_from_user_socket(request.scope):
        return error_response(404, "There is nothing here.")
    worker: Worker = request.app.state.worker
    call = json.loads(await request.body())
    return await worker.run(
        request,
        lambda: Response(json.dumps(_answer(worker, call), default=str), media_type="application/json"),
    )


def _answer(worker: Worker, call: dict[str, Any]) -> dict[str, object]:
    library, options = worker.library, SearchOptions(**call["options"])
    query = library.parse(call["query"])
    hits = library.search(query, kind=call["kind"], count=call["count"], options=options)
    return {
        "query": str(query),
        "hits": [asdict(hit) for hit in hits],
        "note": hits.note,
        "unknown": library.unknown_filter_values(query, options, bool(hits)),
        "texts": {hit.id: library.text(hit) for hit in hits},
        "damage": library.damage,
        "is_outdated": library.is_outdated,
    }
