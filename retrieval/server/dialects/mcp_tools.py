"""Search by the tools of the Model Context Protocol (MCP), which only read.

Works with clients of the stateless protocol of 2026-07-28 and with those that initialize a session.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations
from pydantic import Field
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from retrieval.errors import ClewError
from retrieval.library import Library
from retrieval.server.cursors import MAX_CURSOR_LENGTH, Cursors
from retrieval.server.dialects import agent_answers as answers
from retrieval.server.options import ServerOptions
from retrieval.server.pictures import Pictures
from retrieval.server.routes.search import Services
from retrieval.server.worker import Worker
from retrieval.system import clew_version

MAX_LOOKED_AT = 30  # pictures of a sheet
INSTRUCTIONS = """Search the user's own photos, videos, documents and audio by meaning and by words.
Start with `search`; call `look` with the ids of hits before you describe their content. A hit whose match is
"weak" matches no better than chance. Filters are part of a query, such as
"a dog date:2022..2024 kind:image under:Trips -camera:Canon tag:beach -cat"; `facets` lists their values.
"#12" is the segment with this id, "a | b" is either, "+" adds, "-" subtracts, "not:" excludes."""
READ_ONLY = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

Result = TypeVar("Result")
SegmentId = Annotated[int, Field(ge=1, lt=2**63, description="The id of a hit.")]
Count = Annotated[int, Field(ge=1, le=100, description="The number of hits.")]
Cursor = Annotated[
    str | None,
    Field(
        max_length=MAX_CURSOR_LENGTH, description="The cursor of the answer before, for the hits after it."
    ),
]


def create_mcp_server(services: Services) -> MCPServer[Any]:
    """Return a server with six tools, which search with a worker."""
    server: MCPServer[Any] = MCPServer(
        "clew", title="clew", instructions=INSTRUCTIONS, version=clew_version(), log_level="WARNING"
    )
    worker = services.worker

    async def run(function: Callable[[], Result], *, takes_long: bool = False) -> Result:
        try:
            return await worker.run(Request({"type": "http"}, _never), function, takes_long=takes_long)
        except ClewError as error:
            raise ToolError(str(error)) from error

    @server.tool(annotations=READ_ONLY)
    async def search(
        query: Annotated[str, Field(max_length=4_000, description='Such as "a dog on the beach date:2022".')],
        k: Count = 10,
        cursor: Cursor = None,
    ) -> dict[str, Any]:
        """Find photos, moments of videos, passages, pages and sounds by what they show or say, best first.

        Filters alone, such as "kind:image date:2022-07", list files, newest first.
        """
        return await run(lambda: answers.find(services, query, k, cursor))

    @server.tool(annotations=READ_ONLY, structured_output=False)
    async def look(
        ids: Annotated[
            list[SegmentId], Field(min_length=1, max_length=MAX_LOOKED_AT, description="The ids of hits.")
        ],
    ) -> list[Any]:
        """Return the picture of one id, at most 1,024 pixels a side, or a sheet of thumbnails for several."""
        note, jpeg = await run(lambda: answers.draw(worker, ids), takes_long=True)
        return [note, Image(data=jpeg, format="jpeg")]

    @server.tool(annotations=READ_ONLY)
    async def similar(id: SegmentId, k: Count = 10, cursor: Cursor = None) -> dict[str, Any]:
        """Find the segments that are most similar to a hit."""
        return await run(lambda: answers.find(services, f"#{id}", k, cursor))

    @server.tool(annotations=READ_ONLY)
    async def facets(
        query: Annotated[
            str, Field(max_length=4_000, description="Filters, such as date:2022; empty for all files.")
        ] = "",
    ) -> dict[str, Any]:
        """Count the files of each kind, year, month, camera, folder and tag among those that pass filters."""
        return await run(lambda: answers.count_values(worker, query))

    @server.tool(annotations=READ_ONLY)
    async def details(id: SegmentId) -> dict[str, Any]:
        """Return the details of a hit: its text, tags, captions, camera, place, size and copies."""
        return await run(lambda: answers.describe_segment(worker, id))

    @server.tool(annotations=READ_ONLY)
    async def status(
        failures: Annotated[
            int, Field(ge=0, le=100, description="The number of unreadable files to list.")
        ] = 0,
    ) -> dict[str, Any]:
        """Return the contents of the library, its folders, and which of them are offline."""
        return await run(lambda: answers.describe_library(worker, failures))

    return server


async def _never() -> Message:
    """Wait forever: a client of MCP cancels a call by a message, not by closing the connection."""
    await asyncio.Event().wait()
    raise AssertionError


def serve_stdio(library: Library, options: ServerOptions) -> None:
    """Answer calls on the standard input and output until it ends, and close the library."""
    worker, pictures = Worker(library, options), Pictures(options.max_pictures)
    try:
        worker.warm_up()
        services = Services(worker, Cursors(options.max_cursors), pictures)
        asyncio.run(create_mcp_server(services).run_stdio_async())
    finally:
        worker.close()
        pictures.close()


class McpEndpoint:
    """The tools through HTTP; they run in a task of their own until the event loop ends."""

    def __init__(self, services: Services) -> None:
        server = create_mcp_server(services)
        # The middleware of the application has checked Host and Origin.
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(stateless_http=True, json_response=True, transport_security=security)
        self._manager = server.session_manager
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._manager.run():
            self._ready.set()
            await asyncio.Event().wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._ready.wait()
        await self._manager.handle_request(scope, receive, send)
