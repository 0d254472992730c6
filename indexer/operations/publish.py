"""Public API: publish the vectors of a library to a Milvus server."""

from pathlib import Path

from indexer.maintenance.publish.outbox import set_server
from indexer.maintenance.publish.publish import Published, PublishRun
from indexer.store.location import existing_library
from indexer.store.writer import LibraryWriter
from indexer.types import Progress, no_progress
from retrieval.errors import LibraryError
from retrieval.vectors.milvus.server import MilvusServer


def publish_library(
    server: str | None = None,
    *,
    library: str | Path | None = None,
    token: str | None = None,
    check: bool = False,
    progress: Progress = no_progress,
) -> Published:
    """Send the vectors that have changed to a Milvus server, which searches use from then on.

    `server` is its address, which the library saves: http://HOST:19530, https://HOST/DATABASE?ca=FILE, or a
    path that ends with .db for milvus-lite. `token`, or USER:PASSWORD, is not saved. `check` also compares
    all rows of the server with the catalog, and repairs those that differ. An interrupted publish is
    continued by the next one. Raises LibraryError, VectorServerError and ExtraMissing.
    """
    with LibraryWriter(existing_library(library)) as writer:
        address = server or writer.settings().vectors_url
        if address is None:
            raise LibraryError(
                "This library has no Milvus server. Name one, as in: clew publish http://localhost:19530"
            )
        connection = MilvusServer(address, token)
        try:
            connection.connect()  # before anything is saved
            set_server(writer, address)
            return PublishRun(writer, connection, check, writer.progress_file.shared(progress)).run()
        finally:
            connection.close()
