"""Libraries of drawn vectors that are published, and the comparison of their collections with the catalog."""

from contextlib import contextmanager

import numpy as np

from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.catalog.status import find_publication
from retrieval.vectors.milvus.collection import KIND_CODES, Collection
from retrieval.vectors.milvus.published_space import PublishedSpaces
from retrieval.vectors.space_index import SpaceIndex
from tests.support.vector_library import drawn_embedder, insert_vectors


def write_library(folder, vectors, ids):
    """Write images with these ids, the rows of `vectors`, into a library, which may be new."""
    with LibraryWriter(folder, lambda _: drawn_embedder(vectors.shape[1])) as writer:
        insert_vectors(writer, ids, vectors)


def delete_segments(folder, ids):
    with LibraryWriter(folder) as writer, writer.db.atomic():
        for table, column in ((vectors_table(writer.space_id), "segment"), ("segments", "id")):
            writer.db.conn.executemany(f"DELETE FROM {table} WHERE {column} = ?", ((id_,) for id_ in ids))


def stored_rows(folder):
    """Return id -> kind and vector of all vectors of the catalog."""
    catalog = Catalog.open(folder)
    space = catalog.space()
    rows = catalog.db.execute(
        f"SELECT s.id, s.kind, v.vector FROM {vectors_table(space.id)} v JOIN segments s ON s.id = v.segment"
    ).fetchall()
    catalog.close()
    return {id_: (KIND_CODES[kind], vector) for id_, kind, vector in rows}


def collection_of(folder, server):
    """Return the collection of the active space."""
    catalog = Catalog.open(folder)
    space = catalog.space()
    name = find_publication(catalog, space).collection
    catalog.close()
    rows = Collection(server, name, space.dim)
    rows.load()
    return rows


def published_rows(folder, server):
    """Return id -> kind and vector of all rows on the server, read in one query."""
    ids, kinds, vectors = collection_of(folder, server).rows("id >= 0")
    return {
        id_: (kind, vector.astype(np.float16).tobytes())
        for id_, kind, vector in zip(ids.tolist(), kinds.tolist(), vectors, strict=True)
    }


def assert_published(folder, server):
    """Assert that the server has each vector of the catalog once, and no other row."""
    stored = stored_rows(folder)
    assert published_rows(folder, server) == stored
    rows = collection_of(folder, server)
    assert rows.count("id >= 0") == len(stored)
    assert len(rows.revisions()) == 1
    if stored:
        query = np.frombuffer(next(iter(stored.values()))[1], np.float16).astype(np.float32)[None]
        found = server.call(  # not through our own search, which removes ids that are returned twice
            "search", rows.name, data=list(query), limit=len(stored), filter="id >= 0", output_fields=["id"],
            consistency_level="Strong",
        )[0]  # fmt: skip
        assert sorted(hit["id"] for hit in found) == sorted(stored)


@contextmanager
def open_index(folder, spaces=None):
    """Yield the open active space, which is searched on the server."""
    catalog = Catalog.open(folder)
    space = catalog.space()
    yield SpaceIndex(catalog, space, None, (spaces or PublishedSpaces()).open(catalog, space))
    catalog.close()


def search_index(index, queries, count=10):
    """Return the ids of the best images for each query, and the problem of the search, if any."""
    found = [index.search(query[None], "image", count)[1].tolist() for query in queries]
    return found, index.problem


def search(folder, queries, spaces=None):
    """Open a library, and search as `search_index` does."""
    with open_index(folder, spaces) as index:
        return search_index(index, queries)


def exact_search(folder, queries, count=10):
    """Return the ids of the best images for each query by comparing all of the catalog."""
    stored = stored_rows(folder)
    ids = np.array(sorted(stored))
    vectors = np.stack([np.frombuffer(stored[id_][1], np.float16).astype(np.float32) for id_ in ids])
    scores = np.einsum("qd,nd->qn", queries, vectors)
    return [ids[np.lexsort((ids, -row))[:count]].tolist() for row in scores]
