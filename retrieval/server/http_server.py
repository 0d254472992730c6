"""Run the application on a socket until a signal, and close connections that send nothing."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from retrieval.server.errors import error_response

HEADER_SECONDS = 10.0  # to send a request up to its body
KEEP_ALIVE_SECONDS = 60
MAX_CONNECTIONS = 400
MAX_HEADER_BYTES = 65_536
SHUTDOWN_SECONDS = 3  # for answers that are being sent


class LimitedProtocol(H11Protocol):
    """A connection that is closed if a request does not arrive in time."""

    _deadline: asyncio.TimerHandle | None = None
    header_seconds = HEADER_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request for a limited time."""
        super().connection_made(transport)
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        if self._deadline is None and self._is_waiting():
            self._start_deadline()
        super().data_received(data)
        if not self._is_waiting():
            self._stop_deadline()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for a limited time for the rest of a body that was refused."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and self._deadline is None:
            self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_deadline()
        super().connection_lost(exc)

    def _is_waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self._close_if_waiting)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_if_waiting(self) -> None:
        self._deadline = None
        if self._is_waiting():
            self.transport.close()


class StoppingApp:
    """An application whose requests are answered with 503 if the server stops before their answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        has_started = False

        async def send_noted(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except asyncio.CancelledError:  # only by the server: a call without a client is ClientGone
            if scope["type"] != "http":
                raise
            if not has_started:
                await error_response(503, "The server is stopping.")(scope, receive, send)


class Server(uvicorn.Server):
    """A server that stops at a signal and keeps which it was, without raising it again.

    A second signal ends the wait for answers.
    """

    stopped_by: int | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `handling_signals`, which ends later than the server."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, and close the application also after a second signal."""
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM while the server runs."""
        handlers = {}
        with suppress(ValueError):  # not in the main thread, as in a test
            handlers = {
                number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)
            }
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        self.stopped_by = self.stopped_by or number
        self.handle_exit(number, frame)


def create_server(app: FastAPI) -> Server:
    """Return a server of the application with limits on connections."""
    config = uvicorn.Config(
        StoppingApp(app),
        http=LimitedProtocol,
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    return Server(config)


def run_app(app: FastAPI, listeners: list[socket.socket]) -> int | None:
    """Answer requests on listening sockets until a signal, and return its number."""
    server = create_server(app)
    with server.handling_signals():
        server.run(sockets=listeners)
    return server.stopped_by
