"""Create the application of a gateway."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from pathlib import Path
from time import monotonic

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from retrieval.catalog.reader import Catalog
from retrieval.embedders.registry import load_space_embedder
from retrieval.errors import LibraryError
from retrieval.federation.libraries import shared
from retrieval.federation.remote_library import check_address
from retrieval.library import Library
from retrieval.server.app import complete_app, create_app
from retrieval.server.cursors import Cursors
from retrieval.server.gateway import routes
from retrieval.server.gateway.ids import MAX_LIBRARIES
from retrieval.server.gateway.members import Member
from retrieval.server.gateway.queries import QueryWriter
from retrieval.server.gateway.routes import Gateway
from retrieval.server.gateway.searcher import GatewaySearcher
from retrieval.server.options import ServerOptions
from retrieval.server.pictures import Pictures
from retrieval.server.routes import documentation, search
from retrieval.server.security import is_from_user_socket
from retrieval.system import is_server_address, server_socket

DESCRIPTION = "Search several libraries of photos, videos, documents and audio. Everything only reads."


def create_gateway(
    places: Sequence[str],
    options: ServerOptions,
    token: str | None = None,
    *,
    milvus_token: str | None = None,
) -> FastAPI:
    """Return the application for the libraries in folders and at http(s) addresses.

    Servers are sent `token`. A model that several libraries use is loaded once. Raises LibraryError if a
    library cannot be opened.
    """
    if len(places) > MAX_LIBRARIES:
        raise LibraryError(f"Too many libraries. Serve at most {MAX_LIBRARIES:,}.")
    pictures, load = Pictures(options.max_pictures), shared(load_space_embedder)
    members = list[Member]()
    with ExitStack() as opened:
        for number, place in enumerate(dict.fromkeys(places)):
            if is_server_address(place):
                check_address(place)
                members.append(Member.of_server(number, place.rstrip("/"), token))
                continue
            catalog = Catalog.open(Path(place).expanduser().absolute())
            library = opened.enter_context(closing(Library(catalog, token=milvus_token, load_embedder=load)))
            app = create_app(library, options, pictures)
            members.append(Member.of_app(number, place, app, options.token))
        opened.pop_all()
    return _create_app(members, options, pictures)


def _create_app(members: Sequence[Member], options: ServerOptions, pictures: Pictures) -> FastAPI:
    applications = [member.app for member in members if member.app is not None]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for each in applications:
                await stack.enter_async_context(each.router.lifespan_context(each))
            for member in members:
                await stack.enter_async_context(member.client)
            stack.callback(pictures.close)
            yield

    writer = QueryWriter(members, pictures)
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
