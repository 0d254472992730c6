"""A client that calls a server of a toy library without a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from retrieval.library import Library
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions
from tests.support.toy_embedder import ToyEmbedder

ADDRESS = "http://127.0.0.1:8765"


@contextmanager
def served(library: Path, embedder: ToyEmbedder, **options: Any) -> Iterator[TestClient]:
    """Serve a library with these options, and yield a client."""
    app = create_app(Library.open(library, embedder=embedder), ServerOptions(**options))
    with TestClient(app, ADDRESS, raise_server_exceptions=False, client=("127.0.0.1", 50_000)) as client:
        yield client
