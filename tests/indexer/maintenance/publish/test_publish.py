"""A Milvus server has exactly the vectors of the catalog after each publish."""

import shutil
from time import time

import numpy as np
import pytest

from indexer import publish_library
from indexer.maintenance.publish import collection_writer
from indexer.maintenance.publish.outbox import set_server
from indexer.maintenance.publish.publish import PublishRun
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.catalog.settings import LibrarySettings
from retrieval.catalog.status import status_of
from retrieval.errors import LibraryError, VectorServerError
from retrieval.vectors.milvus import published_space
from tests.support.milvus_servers import lite_in_process, needs_lite, unit_vectors
from tests.support.published_library import (
    assert_published,
    collection_of,
    delete_segments,
    exact_search,
    open_index,
    published_rows,
    search,
    search_index,
    write_library,
)
from tests.support.vector_library import drawn_embedder, insert_vectors

pytestmark = needs_lite
VECTORS = unit_vectors(60, 16)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with lite_in_process(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a library of 40 images that was never published."""
    folder = tmp_path_factory.mktemp("written") / "library"
    write_library(folder, VECTORS, range(1, 41))
    return folder


@pytest.fixture
def library(written, tmp_path):
    """Return a copy of `written`."""
    return shutil.copytree(written, tmp_path / "library")


@pytest.fixture
def publish(library, server):
    def run(**options):
        return publish_library(server.address.text, library=library, **options)

    return run


def counts(published):
    return published.written, published.deleted, published.different


def status(library):
    catalog = Catalog.open(library)
    found = status_of(catalog)
    catalog.close()
    return found.vectors_url, found.published, found.unpublished


def test_first_publish_writes_all_vectors_and_the_next_none(library, publish, server):
    assert counts(publish()) == (40, 0, 0)
    assert_published(library, server)
    assert counts(publish()) == (0, 0, 0)
    assert status(library) == (server.address.text, 40, 0)


def test_later_publish_writes_only_what_has_changed(library, publish, server):
    publish()
    write_library(library, VECTORS, range(41, 46))
    delete_segments(library, [3, 4, 44])
    assert status(library) == (server.address.text, 38, 7)
    assert counts(publish()) == (4, 3, 0)
    assert_published(library, server)


def test_search_is_exact_before_and_after_changes_are_published(library, publish):
    publish()
    write_library(library, VECTORS, range(41, 61))
    delete_segments(library, [3, 4, 50])
    for _ in range(2):
        assert search(library, VECTORS[::7]) == (exact_search(library, VECTORS[::7]), None)
        publish()


def test_reads_wait_for_all_writes_until_these_are_old(library, publish, monkeypatch):
    publish()
    levels = []
    for age in (0, 3_600):
        monkeypatch.setattr(published_space, "time", lambda age=age: time() + age)
        with open_index(library) as index:
            search_index(index, VECTORS[:1])
            levels.append(index.published._remote["image"].level)
    assert levels == ["Strong", "Bounded"]


def test_check_repairs_missing_outdated_and_superfluous_rows(library, publish, server):
    publish()
    rows = collection_of(library, server)
    server.call("delete", rows.name, filter="id in [5, 6]")
    wrong = [(7, 0, VECTORS[50]), (8, 2, VECTORS[7]), (900, 0, VECTORS[9]), (2**40, 0, VECTORS[9])]
    server.call("upsert", rows.name, data=[{"id": i, "kind": k, "vector": v} for i, k, v in wrong])
    assert counts(publish()) == (0, 0, 0)
    assert counts(publish(check=True)) == (4, 2, 6)
    assert_published(library, server)
    assert counts(publish(check=True)) == (0, 0, 0)


def test_restored_library_is_compared_without_a_request(library, publish, server, tmp_path):
    publish()
    shutil.copytree(library, tmp_path / "backup")
    write_library(library, VECTORS, range(41, 46))
    delete_segments(library, [3])
    publish()
    shutil.rmtree(library)
    shutil.copytree(tmp_path / "backup", library)
    write_library(library, VECTORS[::-1], range(41, 44))  # other images with the ids of deleted ones
    found, problem = search(library, VECTORS[::7])
    assert found == exact_search(library, VECTORS[::7])
    assert "not as this library has published it" in problem
    assert publish().compared
    assert_published(library, server)
    assert search(library, VECTORS[::7]) == (exact_search(library, VECTORS[::7]), None)


def test_collection_that_was_lost_is_written_again(library, publish, server):
    publish()
    server.call("drop_collection", collection_of(library, server).name)
    assert search(library, VECTORS[:3])[0] == exact_search(library, VECTORS[:3])
    assert counts(publish()) == (40, 0, 0)
    assert_published(library, server)


def test_two_libraries_on_a_server_have_their_own_collections(library, publish, server, tmp_path):
    write_library(tmp_path / "other", VECTORS[::-1], range(1, 21))
    assert (
        publish().collections != publish_library(server.address.text, library=tmp_path / "other").collections
    )
    assert_published(library, server)
    assert_published(tmp_path / "other", server)


def test_collection_of_a_deleted_space_is_dropped(library, publish, server):
    with LibraryWriter(library) as writer:
        second = drawn_embedder(4)
        second.name, second.fingerprint = "second", "1"
        writer.spaces.find_or_create(second)
    first, other = publish().collections
    with LibraryWriter(library) as writer:
        writer.spaces.drop("second")
    publish()
    assert server.call("has_collection", first)
    assert not server.call("has_collection", other)


def test_library_without_a_server_records_nothing(library, publish):
    publish()
    with LibraryWriter(library) as writer:
        assert set_server(writer, None)
        insert_vectors(writer, [41], VECTORS)
        objects = [
            row[0] for row in writer.db.conn.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        ]
        assert not [name for name in objects if name.startswith(vectors_table(writer.space_id))]
        assert writer.db.table("unpublished").count == writer.db.table("publications").count == 0
    assert status(library) == (None, 0, 0)
    assert search(library, VECTORS[:3]) == (exact_search(library, VECTORS[:3]), None)


def test_return_to_a_server_compares_its_rows(library, publish, server):
    publish()
    with LibraryWriter(library) as writer:
        set_server(writer, None)
    write_library(library, VECTORS, [41])
    delete_segments(library, [1])
    assert counts(publish()) == (1, 1, 2)
    assert_published(library, server)


def test_publish_without_a_server_says_how_to_name_one(library):
    with pytest.raises(LibraryError, match="clew publish http://"):
        publish_library(library=library)


@pytest.mark.parametrize(("method", "index_type"), [("flat", "FLAT"), ("hnsw", "HNSW")])
def test_collection_without_an_index_gets_one(library, publish, server, monkeypatch, method, index_type):
    """A kill before `create_index` has left it so, of a new collection or of one that gets a graph."""
    from pymilvus import MilvusClient

    with monkeypatch.context() as killed:
        killed.setattr(MilvusClient, "create_index", interrupt_call)
        assert publish().interrupted
    name = collection_of(library, server).name
    assert server.call("list_indexes", name) == []
    monkeypatch.setattr(collection_writer, "method_for", lambda count: method)
    publish()
    assert server.call("describe_index", name, "vector")["index_type"] == index_type
    assert_published(library, server)


def test_index_that_a_killed_publish_has_dropped_is_built(library, publish, server, monkeypatch):
    from pymilvus import MilvusClient

    publish()
    name = collection_of(library, server).name
    write_library(library, VECTORS, [41])
    monkeypatch.setattr(collection_writer, "method_for", lambda count: "hnsw")
    with monkeypatch.context() as killed:
        killed.setattr(MilvusClient, "create_index", interrupt_call)
        assert publish().interrupted
    assert server.call("list_indexes", name) == []
    assert counts(publish()) == (0, 0, 0)
    assert server.call("describe_index", name, "vector")["index_type"] == "HNSW"
    assert_published(library, server)


def interrupt_call(*arguments, **options):
    raise KeyboardInterrupt


def test_invalid_vector_is_not_sent(library, publish, server):
    with LibraryWriter(library) as writer, writer.db.atomic():
        bad = np.full(16, np.nan, np.float16).tobytes()
        writer.db.execute(f"UPDATE {vectors_table(writer.space_id)} SET vector = ? WHERE segment = 7", (bad,))
    with pytest.raises(VectorServerError, match=r"Segment #7 .* NaN"):
        publish()
    assert published_rows(library, server) == {}


def test_changed_vector_is_published_again(library, publish, server):
    publish()
    with LibraryWriter(library) as writer, writer.db.atomic():
        vector = VECTORS[50].astype(np.float16).tobytes()
        writer.db.execute(
            f"UPDATE {vectors_table(writer.space_id)} SET vector = ? WHERE segment = 7", (vector,)
        )
    assert counts(publish()) == (1, 0, 0)
    assert_published(library, server)


def test_interrupted_publish_continues(library, server):
    def interrupt(title, done, total, size=0):
        if done == 16:
            raise KeyboardInterrupt

    with LibraryWriter(library) as writer:
        set_server(writer, server.address.text)
        stopped = PublishRun(writer, server, progress=interrupt, batch_rows=8).run()
        assert stopped.interrupted
        assert stopped.written == 16
        assert LibrarySettings.read(writer.db.conn).vectors_url == server.address.text
        assert search(library, VECTORS[:3])[0] == exact_search(library, VECTORS[:3])
        assert counts(PublishRun(writer, server, batch_rows=8).run()) == (24, 0, 0)
    assert_published(library, server)
