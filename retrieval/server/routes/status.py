"""The state of the library and of the server."""

from dataclasses import asdict
from time import monotonic

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from retrieval.catalog.browse.library_map import has_map
from retrieval.server.errors import json_response
from retrieval.server.schema.answers import HealthAnswer, StatusAnswer
from retrieval.server.schema.document import with_json
from retrieval.system import clew_version

router = APIRouter()


@router.get("/api/status", responses=with_json(StatusAnswer))
async def status(request: Request) -> Response:
    """Return the contents and settings of the library, and what is missing of it now."""
    worker = request.app.state.worker

    def read() -> Response:
        found, space = worker.library.status(), worker.catalog.space()
        offline = [{"root": str(root.path), "files": root.offline} for root in found.roots if root.offline]
        return json_response(
            asdict(found)
            | {
                "offline": offline,
                "failures": sum(root.failed + root.partial for root in found.roots),
                "map": space is not None and has_map(worker.catalog, space),
                "version": clew_version(),
            }
        )

    return await worker.run(request, read)  # type: ignore[no-any-return]


@router.get("/healthz", responses=with_json(HealthAnswer))
async def health() -> Response:
    """Return that the server answers."""
    return json_response({"status": "ok"})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return counters for Prometheus."""
    worker = request.app.state.worker
    gauges = {
        "calls_running": worker.running,
        "calls_waiting": worker.waiting,
        "calls_dropped": worker.dropped,
        "calls_refused": worker.refused,
        "uptime_seconds": monotonic() - worker.started,
    }
    text = request.app.state.metrics.text(gauges)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")
