"""Fixtures: a server that listens on this machine, for clients of other programs."""

import socket
import threading
import time

import pytest
import uvicorn

from retrieval.library import Library
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions


@pytest.fixture
def listen(place, toy):
    """Return a function that serves the toy library on a free port and returns the address."""
    stops = []

    def start(**options) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        app = create_app(Library.open(place, embedder=toy), ServerOptions(**options))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join()
            listener.close()

        stops.append(stop)
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def address(library, listen) -> str:
    """Return the address of a server of the images in `folder`."""
    return listen()
