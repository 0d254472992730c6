"""Fixtures: a server of a toy library, and a client that calls it without a network."""

from contextlib import ExitStack

import pytest
from starlette.testclient import TestClient

from retrieval.library import Library
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions

ADDRESS = "http://127.0.0.1:8765"


@pytest.fixture
def serve(place, toy):
    """Return a function that serves the toy library with these options and returns a client."""
    with ExitStack() as stack:

        def start(**options) -> TestClient:
            app = create_app(Library.open(place, embedder=toy), ServerOptions(**options))
            client = TestClient(app, ADDRESS, raise_server_exceptions=False, client=("127.0.0.1", 50_000))
            return stack.enter_context(client)

        yield start


@pytest.fixture
def client(library, serve) -> TestClient:
    """Return a client of a server of the images in `folder`."""
    return serve()


@pytest.fixture
def segment_of(client):
    """Return a function from the name of a file to the id of its segment."""

    def find(name: str) -> int:
        items = client.get("/api/search", params={"count": 1000}).json()["items"]
        return next(item["id"] for item in items if item["name"] == name)

    return find
