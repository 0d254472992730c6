"""The two-dimensional map of the library."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from retrieval.catalog.browse.library_map import read_map
from retrieval.server.errors import NotFound, json_response
from retrieval.server.schema.answers import MapAnswer
from retrieval.server.schema.document import with_json

router = APIRouter()


@router.get("/api/map", responses=with_json(MapAnswer, is_found=True))
async def library_map(request: Request) -> Response:
    """Return a point for each segment, 0 to 1,000 on both axes, similar ones near each other, and names."""
    worker = request.app.state.worker

    def read() -> Response:
        space = worker.catalog.space()
        found = None if space is None else read_map(worker.catalog, space)
        if found is None or not len(found.segments):
            raise NotFound("The library has no map yet. `clew index` computes it.")
        x, y = found.positions.round(1).T.tolist()
        return json_response(
            {
                "points": {"id": found.segments.tolist(), "x": x, "y": y},
                "names": [
                    {"text": name.text, "x": round(name.x, 1), "y": round(name.y, 1), "count": name.count}
                    for name in found.names
                ],
                "sampled": found.is_sampled,
            }
        )

    return await worker.run(request, read)  # type: ignore[no-any-return]
