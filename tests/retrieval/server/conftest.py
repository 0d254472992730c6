"""Fixtures: a server of a toy library, and a client that calls it without a network."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from indexer import update_library
from tests.support.files import draw_image
from tests.support.http_client import served
from tests.support.toy_embedder import COLORS, ToyEmbedder


@pytest.fixture
def serve(place, toy):
    """Return a function that serves the toy library with these options and returns a client."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(served(place, toy, **options))


@pytest.fixture(scope="session")
def shared_library(tmp_path_factory) -> Path:
    """Return a library of an image of each color, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    for color in COLORS:
        draw_image(folder / "pictures" / f"{color}.png", color)
    update_library(folder / "pictures", library=folder / "library", embedder=ToyEmbedder())
    return folder / "library"


@pytest.fixture(scope="session")
def shared_client(shared_library) -> Iterator[TestClient]:
    """Yield a client of a server of the shared library."""
    with served(shared_library, ToyEmbedder()) as client:
        yield client


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
