"""Searches in a published library: copies of it, outages, limits, and the address that it saves."""

import shutil
from dataclasses import replace
from time import monotonic

import pytest

from indexer import publish_library
from indexer.maintenance.publish.publish import publish_changes
from indexer.store.settings import save_settings
from indexer.store.writer import LibraryWriter
from retrieval.vectors.milvus import index as index_module
from retrieval.vectors.milvus import published_space
from retrieval.vectors.milvus.collection import Collection
from retrieval.vectors.milvus.published_space import CHECK_SECONDS, RETRY_SECONDS, PublishedSpaces
from tests.support.milvus_servers import HAS_LITE, lite_in_process, needs_lite, unit_vectors
from tests.support.published_library import (
    collection_of,
    delete_segments,
    exact_search,
    open_index,
    search,
    search_index,
    write_library,
)

pytestmark = needs_lite
VECTORS = unit_vectors(60, 16)
QUERIES = VECTORS[::7]
if HAS_LITE:
    from milvus_lite import MilvusLite


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with lite_in_process(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
def library(tmp_path):
    """Return a library of 40 images that is not published."""
    write_library(tmp_path / "library", VECTORS, range(1, 41))
    return tmp_path / "library"


@pytest.fixture
def published(library, server):
    publish_library(server.address.text, library=library)
    return library


@pytest.fixture
def wait(monkeypatch):
    def wait(seconds):
        monkeypatch.setattr(published_space, "monotonic", lambda: monotonic() + seconds)

    return wait


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a new working directory, whose vectors.db is closed after the test."""
    from milvus_lite.server_manager import server_manager_instance

    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    server_manager_instance.release_server(str(folder / "vectors.db"))


@pytest.fixture
def closed(library, folder):
    """Return a folder of milvus-lite that has the vectors of the library, and is not open."""
    with lite_in_process(folder) as server:
        publish_library(server.address.text, library=library)
    return folder / "vectors.db"


def test_open_library_notices_that_a_copy_has_published(published, tmp_path, wait):
    with open_index(published) as index:
        assert search_index(index, QUERIES) == (exact_search(published, QUERIES), None)
        copy = shutil.copytree(published, tmp_path / "copy")
        delete_segments(copy, range(1, 21))
        publish_library(library=copy)
        wait(CHECK_SECONDS)
        found, problem = search_index(index, QUERIES)
        assert found == exact_search(published, QUERIES)
        assert "not as this library has published it" in problem


def test_collection_that_is_not_loaded_is_loaded_after_a_while(published, server, wait):
    """As after a restart of milvus-lite."""
    with open_index(published) as index:
        assert search_index(index, QUERIES)[1] is None
        server.call("release_collection", collection_of(published, server).name)
        found, problem = search_index(index, QUERIES)
        assert found == exact_search(published, QUERIES)
        assert "the local vectors are searched" in problem
        wait(RETRY_SECONDS)
        assert search_index(index, QUERIES) == (exact_search(published, QUERIES), None)


def test_relative_path_is_saved_as_absolute_one(library, folder, tmp_path, monkeypatch):
    publish_library("vectors.db", library=library)
    monkeypatch.chdir(tmp_path)
    spaces, servers = PublishedSpaces(), []
    for _ in range(2):
        with open_index(library, spaces) as index:
            assert search_index(index, QUERIES) == (exact_search(library, QUERIES), None)
            servers.append(index.published.server)
    assert servers[0] is servers[1]
    assert not (tmp_path / "vectors.db").exists()


def test_search_does_not_create_the_folder_of_milvus_lite(library, closed):
    shutil.rmtree(closed)
    found, problem = search(library, QUERIES)
    assert found == exact_search(library, QUERIES)
    assert f"{closed}, which has the published vectors, does not exist" in problem
    assert "clew publish" in problem
    assert not closed.exists()


def test_folder_that_another_process_has_open_is_not_searched(library, closed, capfd):
    with MilvusLite(str(closed)):
        found, problem = search(library, QUERIES)
    assert found == exact_search(library, QUERIES)
    assert f"Another process has {closed} open" in problem
    assert capfd.readouterr().err == ""


def test_missing_file_of_the_address_is_a_problem_but_no_error(published, tmp_path):
    address = f"https://127.0.0.1?ca={tmp_path}/missing.pem"
    notes = []
    with LibraryWriter(published) as writer:
        with writer.db.atomic():
            save_settings(writer.db, replace(writer.settings(), vectors_url=address))
        assert publish_changes(writer, None, notes.append)
    found, problem = search(published, QUERIES)
    assert found == exact_search(published, QUERIES)
    for message in (problem, *notes):
        assert "missing.pem not found" in message
        assert "clew index --vectors local" in message


def test_many_unpublished_changes_are_searched_in_the_local_indexes(published, monkeypatch):
    monkeypatch.setattr(published_space, "MAX_UNPUBLISHED", 5)
    for ids, is_searched in ((range(41, 46), True), (range(46, 48), False)):
        write_library(published, VECTORS, ids)
        with open_index(published) as index:
            assert (index.published is not None) == is_searched
            assert search_index(index, QUERIES) == (exact_search(published, QUERIES), None)


@pytest.mark.parametrize("count", [5, 30, 80])
def test_more_hits_than_the_server_returns_are_found_in_the_local_indexes(published, count, monkeypatch):
    write_library(published, VECTORS, range(41, 46))
    delete_segments(published, [3, 4])
    monkeypatch.setattr(index_module, "MAX_RESULTS", 35)
    monkeypatch.setattr(Collection, "rows", None)  # nothing is read from the server
    with open_index(published) as index:
        assert search_index(index, QUERIES, count) == (exact_search(published, QUERIES, count), None)
