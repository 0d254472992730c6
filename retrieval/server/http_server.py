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
from uvicorn.protocols.http.h11_impl import H11Protocol

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


class Server(uvicorn.Server):
    """A server that stops at a signal and keeps which it was, without raising it again."""

    stopped_by: int | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
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
        app,
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
    server.run(sockets=listeners)
    return server.stopped_by
