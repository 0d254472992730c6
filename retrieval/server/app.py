"""Create the application from its routes."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from time import monotonic
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.library import Library
from retrieval.server.cursors import Cursors
from retrieval.server.dialects.mount import add_dialects
from retrieval.server.errors import add_error_handlers
from retrieval.server.metrics import Metrics
from retrieval.server.options import ServerOptions
from retrieval.server.pictures import Pictures
from retrieval.server.routes import (
    browse,
    documentation,
    export,
    library_map,
    search,
    segments,
    status,
    terminal,
)
from retrieval.server.routes.search import LibrarySearcher, Services
from retrieval.server.schema.document import add_errors
from retrieval.server.security import SecurityMiddleware
from retrieval.server.worker import Worker
from retrieval.system import clew_version

DESCRIPTION = "Search a library of photos, videos, documents and audio. Everything only reads."


class MetricsMiddleware:
    """Count each request by its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when its answer begins."""
        started = monotonic()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = getattr(scope.get("route"), "path", "other")
                self.metrics.add(path, message["status"], monotonic() - started)
            await send(message)

        await self.app(scope, receive, counted if scope["type"] == "http" else send)


class HeadMiddleware:
    """Answer HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; to HEAD, the answer ends after the headers, before a file is read."""

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self.app({**scope, "method": "GET"}, receive, send_headers)
        else:
            await self.app(scope, receive, send)


def _schema(app: FastAPI) -> dict[str, Any]:
    """Return the schema of the API, with the errors that all routes share."""
    if app.openapi_schema is None:
        app.openapi_schema = add_errors(FastAPI.openapi(app))
    return app.openapi_schema


def create_app(library: Library, options: ServerOptions, pictures: Pictures | None = None) -> FastAPI:
    """Return the application for an open library, which it closes at the end.

    `app.state` has the `worker` and `searcher` that routes use, the `pictures` and the `metrics`. Pictures
    that several applications share are given.
    """
    worker, pictures = Worker(library, options), pictures or Pictures(options.max_pictures)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.warm_up()
        try:
            yield
        finally:
            await run_in_threadpool(worker.close)
            pictures.close()

    app = FastAPI(title="clew", description=DESCRIPTION, docs_url=None, redoc_url=None, lifespan=lifespan)
    services = Services(worker, Cursors(options.max_cursors), pictures)
    app.state.worker, app.state.pictures, app.state.searcher = worker, pictures, LibrarySearcher(services)
    routes = (search, segments, export, browse, library_map, status, terminal, documentation)
    add_dialects(app, services)
    return complete_app(app, routes, options)


def complete_app(app: FastAPI, routes: Iterable[ModuleType], options: ServerOptions) -> FastAPI:
    """Add routes, errors, metrics and security to an application, and return it."""
    app.version, app.state.metrics = clew_version(), Metrics()
    app.openapi = lambda: _schema(app)  # type: ignore[method-assign]
    add_error_handlers(app)
    for module in routes:
        app.include_router(module.router)
    app.add_middleware(MetricsMiddleware, metrics=app.state.metrics)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(SecurityMiddleware, options=options)
    return app
