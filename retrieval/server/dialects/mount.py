"""Add these interfaces to the application."""

from functools import cached_property
from importlib.util import find_spec

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from retrieval.server.dialects import embeddings, knn_service
from retrieval.server.routes.search import Services


def add_dialects(app: FastAPI, services: Services) -> None:
    """Add the routes of clip-retrieval and OpenAI, and of MCP if its extra is installed."""
    app.include_router(knn_service.router)
    app.include_router(embeddings.router)
    if find_spec("mcp") is not None:
        app.router.add_route("/mcp", LateMcpEndpoint(services), include_in_schema=False)  # type: ignore[arg-type]


class LateMcpEndpoint:
    """The endpoint of MCP, whose library is imported by the first request, as it takes half a second."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @cached_property
    def _endpoint(self) -> ASGIApp:
        from retrieval.server.dialects.mcp_tools import McpEndpoint

        return McpEndpoint(self._services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._endpoint(scope, receive, send)
