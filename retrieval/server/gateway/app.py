"""Create the application of a gateway."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import monotonic

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from retrieval.errors import LibraryError
from retrieval.federation.libraries import Libraries
from retrieval.federation.remote_library import RemoteLibrary
from retrieval.server.app import complete_app, create_app
from retrieval.server.cursors import Cursors
from retrieval.server.gateway import routes
from retrieval.server.gateway.ids import MAX_LIBRARIES
from retrieval.server.gateway.queries import QueryWriter
from retrieval.server.gateway.routes import Gateway
from retrieval.server.gateway.searcher import GatewaySearcher
from retrieval.server.gateway.served_library import ServedLibrary
from retrieval.server.options import ServerOptions
from retrieval.server.pictures import Pictures
from retrieval.server.routes import documentation, search
from retrieval.server.security import is_from_user_socket
from retrieval.system import server_socket

DESCRIPTION = "Search several libraries of photos, videos, documents and audio. Everything only reads."


def create_gateway(libraries: Libraries, options: ServerOptions) -> FastAPI:
    """Return the application for open libraries, which it closes at the end. Raises LibraryError."""
    if len(libraries.members) > MAX_LIBRARIES:
        raise LibraryError(f"Too many libraries. Serve at most {MAX_LIBRARIES:,}.")
    pictures, members, applications = Pictures(options.max_pictures), list[ServedLibrary](), list[FastAPI]()
    for number, (name, library) in enumerate(libraries.members.items()):
        if isinstance(library, RemoteLibrary):
            members.append(ServedLibrary.of_server(number, name, library.address, library.token))
            continue
        app = create_app(library, replace(options, token=None), pictures)  # the gateway has checked it
        applications.append(app)
        members.append(ServedLibrary.of_app(number, name, app))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for each in applications:
                await stack.enter_async_context(each.router.lifespan_context(each))
            for member in members:
                await stack.enter_async_context(member.client)
            stack.callback(pictures.close)
            yield

    writer = QueryWriter(members, pictures, asyncio.Semaphore(options.threads))
    app = FastAPI(title="clew", description=DESCRIPTION, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.gateway = Gateway(members, writer, monotonic())
    app.state.searcher = GatewaySearcher(members, writer, Cursors(options.max_cursors))
    app = complete_app(app, (search, routes, documentation), options)
    sockets = {str(server_socket(each.state.worker.library.folder)): each for each in applications}
    app.add_middleware(UserSockets, apps=sockets)
    return app


class UserSockets:
    """Passes requests on the socket of one library, which only its user can open, to its application."""

    def __init__(self, app: ASGIApp, apps: Mapping[str, ASGIApp]) -> None:
        self.app, self._apps = app, apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._apps.get(scope["server"][0], self.app) if is_from_user_socket(scope) else self.app
        await app(scope, receive, send)
