"""A library that is published to a Milvus server: kills, outages, TLS, and the commands."""

import json
import shutil
import ssl
import subprocess
import sys
from contextlib import closing, contextmanager

import numpy as np
import pytest

from indexer import (
    IndexOptions,
    embed_shards,
    forget,
    import_vectors,
    publish_library,
    switch_library,
    update_library,
)
from indexer.maintenance.publish import collection_writer
from indexer.maintenance.publish.outbox import is_publish_due, set_server
from indexer.maintenance.publish.publish import PUBLISHING, PublishRun
from indexer.store.writer import LibraryWriter
from retrieval import Library
from retrieval.catalog.reader import Catalog
from retrieval.catalog.status import find_publication
from retrieval.embedders.registry import load_embedder
from retrieval.errors import VectorServerError
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.milvus import published_space
from retrieval.vectors.milvus.collection import Collection
from retrieval.vectors.milvus.index import MilvusIndex
from retrieval.vectors.milvus.published_space import PublishedSpaces
from retrieval.vectors.milvus.server import MilvusServer
from tests.support.catalog import REPOSITORY_ROOT
from tests.support.files import draw_image
from tests.support.milvus_servers import (
    HAS_LITE,
    build_index,
    free_port,
    has_standalone,
    lite_in_process,
    lite_server,
    needs_lite,
    relay,
    standalone_server,
    unit_vectors,
)
from tests.support.published_library import (
    assert_published,
    collection_of,
    delete_segments,
    exact_search,
    open_index,
    search,
    search_index,
    write_library,
)
from tests.support.stored_vectors import vectors_of, write_rclip
from tests.support.toy_embedder import RotatedToyEmbedder

VECTORS = unit_vectors(400, 8)
QUERIES = VECTORS[::61]
pytestmark = needs_lite
if HAS_LITE:
    from pymilvus import MilvusClient


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yield a running LiteServer."""
    with lite_server(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a library of 40 images that was never published."""
    folder = tmp_path_factory.mktemp("written") / "library"
    write_library(folder, VECTORS, range(1, 41))
    return folder


@pytest.fixture
def drawn(written, tmp_path):
    """Return a copy of `written`."""
    return shutil.copytree(written, tmp_path / "drawn")


def interrupt(*args, **options):
    raise KeyboardInterrupt


class Publisher:
    """A process that publishes and is killed at a step."""

    def __init__(self, library, address):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.publish_process", str(library), address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY_ROOT,
        )

    def run(self, step):
        self.process.stdin.write(f"{step}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def publisher(library, address):
    started = Publisher(library, address)
    try:
        yield started
    finally:
        started.process.communicate()


def kill_publishers(library, address, steps, check):
    """Kill a publish at each step, with changes in between; then publish, and return the number of kills."""
    kills, last = 0, 40
    with publisher(library, address) as process:
        for step in steps:
            outcome = process.run(step)
            assert outcome in ("killed", "done 0")
            kills += outcome == "killed"
            check()
            write_library(library, VECTORS, range(last + 1, last + 11))
            delete_segments(library, [last - 7, last + 4])
            last += 10
        assert process.run(0) == "done 0"
    return kills


def check_search(library):
    spaces = PublishedSpaces()
    found, problem = search(library, QUERIES, spaces=spaces)
    assert found == exact_search(library, QUERIES)
    assert problem is None


@pytest.mark.parametrize(
    "steps",
    [(9, 17, 26), pytest.param(tuple(range(1, 31)), marks=pytest.mark.large)],
    ids=["3 kills", "30 kills"],
)
def test_killed_publishes_lose_and_repeat_nothing_on_a_server(drawn, server, steps):
    kills = kill_publishers(drawn, server.address, steps, lambda: check_search(drawn))
    assert kills == len(steps)
    assert_published(drawn, MilvusServer(server.address))


@pytest.mark.large
def test_killed_publishes_lose_and_repeat_nothing_in_a_file(drawn, tmp_path):
    """The kill ends milvus-lite, too, which runs in the process."""
    assert kill_publishers(drawn, str(tmp_path / "vectors.db"), range(1, 31), lambda: None) == 30
    with lite_in_process(tmp_path) as server:
        assert_published(drawn, server)


def kill_server_while_publishing(drawn, server, call_seconds):
    def kill(title, done, total, size=0):
        if done == 24:
            server.kill()

    with LibraryWriter(drawn) as writer:
        set_server(writer, server.address)
        connection = MilvusServer(server.address, call_seconds=call_seconds)
        with pytest.raises(VectorServerError, match="cannot be reached"):
            PublishRun(writer, connection, progress=kill, batch_rows=8).run()
    assert search(drawn, QUERIES)[0] == exact_search(drawn, QUERIES)
    server.start()
    assert publish_library(library=drawn).written == 16
    assert_published(drawn, MilvusServer(server.address))
    check_search(drawn)


@pytest.mark.large
def test_killed_server_loses_and_repeats_nothing(drawn, tmp_path):
    with lite_server(tmp_path / "data") as server:
        kill_server_while_publishing(drawn, server, 2.0)


def test_search_without_the_server_compares_local_vectors_until_it_returns(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(published_space, "READ_SECONDS", 1.0)
    with lite_server(tmp_path / "data") as server:
        publish_library(server.address, library=drawn)
        spaces = PublishedSpaces()
        with open_index(drawn, spaces) as index:
            assert search_index(index, QUERIES) == (exact_search(drawn, QUERIES), None)
            server.kill()
            found, problem = search_index(index, QUERIES)
            assert found == exact_search(drawn, QUERIES)
            assert "cannot be reached" in problem
            assert "clew index --vectors local" in problem
        found, problem = search(drawn, QUERIES)  # a new process, which cannot connect
        assert found == exact_search(drawn, QUERIES)
        assert "cannot be reached" in problem
        server.start()
        monkeypatch.setattr(published_space, "monotonic", lambda: np.inf)  # the wait is over
        assert search(drawn, QUERIES, spaces=spaces) == (exact_search(drawn, QUERIES), None)


def test_index_publishes_to_the_server_that_the_library_remembers(folder, index, place, toy, server):
    assert index(folder, vectors=server.address).notes == []
    assert_published(place, MilvusServer(server.address))
    draw_image(folder / "more.png", (9, 200, 40))
    index()
    assert_published(place, MilvusServer(server.address))
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=20)) == 8
        assert library.damage is None
        assert (library.status().vectors_url, library.status().published) == (server.address, 8)
    index(vectors="local")
    with Library.open(place, embedder=toy) as library:
        assert (library.status().vectors_url, library.status().published) == (None, 0)
        assert len(library.search("red", count=20)) == 8


def test_index_without_the_server_keeps_the_changes_for_later(folder, index, place, toy, server):
    address = f"http://127.0.0.1:{free_port()}"
    report = index(folder, vectors=address)
    assert report.added == 7
    assert "`clew publish` continues" in report.notes[-1]
    with Library.open(place, embedder=toy) as library:
        assert len(library.search("red", count=20)) == 7
        assert (library.status().published, library.status().unpublished) == (0, 7)
    publish_library(server.address, library=place)
    assert_published(place, MilvusServer(server.address))


def test_switch_publishes_the_vectors_of_the_new_model(folder, index, place, server):
    index(folder, vectors=server.address)
    switch_library("other", library=place, embedder=RotatedToyEmbedder())
    assert_published(place, MilvusServer(server.address))
    with Library.open(place, embedder=RotatedToyEmbedder()) as library:
        assert (library.status().space.name, library.status().unpublished) == ("other", 0)


def test_import_of_shards_publishes_their_vectors(folder, index, place, toy, server, tmp_path):
    index(folder, vectors=server.address)
    draw_image(tmp_path / "more" / "one.png", (9, 200, 40))
    embed_shards(tmp_path / "more", tmp_path / "shards", embedder=toy)
    result = import_vectors(tmp_path / "shards", library=place, embedder=toy)
    assert (result.adopted, result.notes) == (1, ())
    assert_published(place, MilvusServer(server.address))


def test_import_of_shards_without_the_server_says_how_to_publish(folder, index, place, toy, tmp_path):
    index(folder, vectors=f"http://127.0.0.1:{free_port()}")
    draw_image(tmp_path / "more" / "one.png", (9, 200, 40))
    embed_shards(tmp_path / "more", tmp_path / "shards", embedder=toy)
    result = import_vectors(tmp_path / "shards", library=place, embedder=toy)
    assert (result.adopted, result.interrupted) == (1, False)
    assert "`clew publish` continues" in result.notes[-1]


def test_import_publishes_the_vectors_of_a_second_model_after_they_are_written(
    folder, index, place, toy, server, tmp_path, monkeypatch
):
    index(folder, vectors=server.address)
    other = RotatedToyEmbedder()
    database = write_rclip(tmp_path / "db.sqlite3", vectors_of(other, sorted(folder.glob("*.png"))))
    monkeypatch.setattr("indexer.operations.index.resolve.resolve_embedder", lambda *_, **__: toy)
    result = import_vectors(database, library=place, embedder=other)
    assert (result.adopted, result.active) == (7, False)
    with closing(Catalog.open(place)) as catalog:
        space = catalog.space("other")
        rows = Collection(
            MilvusServer(server.address), find_publication(catalog, space).collection, space.dim
        )
    rows.load()
    assert rows.count("id >= 0") == 7
    with LibraryWriter(place, lambda _: toy) as writer:
        assert not is_publish_due(writer)


def test_purge_deletes_the_vectors_on_the_server(folder, index, place, server):
    index(folder, vectors=server.address)
    forget(folder, library=place, purge=True)
    assert_published(place, MilvusServer(server.address))


def test_forgotten_space_is_deleted_on_the_server(folder, index, place, server):
    index(folder, vectors=server.address)
    connection = MilvusServer(server.address)
    rows = collection_of(place, connection)
    switch_library("other", library=place, embedder=RotatedToyEmbedder())
    assert connection.call("has_collection", rows.name)
    forget(library=place, space="toy")
    assert not connection.call("has_collection", rows.name)


def test_purge_without_the_server_succeeds_and_says_how_to_publish(folder, index, place, server):
    index(folder, vectors=f"http://127.0.0.1:{free_port()}")
    notes = []
    assert forget(folder, library=place, purge=True, notify=notes.append) == (7, 7)
    assert "cannot be reached" in notes[0]
    assert notes[1].endswith("`clew publish` deletes them on the server too.")


def test_purge_that_is_interrupted_while_it_publishes_has_deleted_the_data(folder, index, place, server):
    index(folder, vectors=server.address)
    notes = []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MilvusClient, "delete", interrupt)
        forget(folder, library=place, purge=True, notify=notes.append)
    assert notes[0].endswith("`clew publish` deletes them on the server too.")
    assert publish_library(library=place).deleted == 7
    assert_published(place, MilvusServer(server.address))


def test_switch_without_the_server_is_complete_and_says_how_to_publish(folder, index, place):
    index(folder, vectors=f"http://127.0.0.1:{free_port()}")
    notes = []
    switched = switch_library("other", library=place, embedder=RotatedToyEmbedder(), notify=notes.append)
    assert (switched.answers, switched.interrupted) == (True, False)
    assert "`clew publish` continues" in notes[-1]


def test_switch_that_is_interrupted_while_it_publishes_has_the_new_model(folder, index, place, server):
    index(folder, vectors=server.address)

    def interrupt(title, done, total, size=0):
        if title == PUBLISHING:
            raise KeyboardInterrupt

    switched = switch_library("other", library=place, embedder=RotatedToyEmbedder(), progress=interrupt)
    assert (switched.answers, switched.interrupted) == (True, True)
    publish_library(library=place)
    assert_published(place, MilvusServer(server.address))


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "golden.jsonl"),
        ("switch", "builtin"),
        ("switch", "builtin", "--compare", "red"),
        ("import", "shards"),
        ("import", "rclip", "--model", "builtin"),
        ("forget", "pictures", "--purge"),
    ],
)
def test_command_that_searches_or_publishes_sends_the_token(
    command, clew, folder, place, server, tmp_path, monkeypatch
):
    update_library([folder], library=place, model="builtin", options=IndexOptions(vectors=server.address))
    (tmp_path / "golden.jsonl").write_text('{"query": "red", "relevant": ["pictures/red.png"]}\n')
    if command[0] == "import":
        vectors = vectors_of(load_embedder("builtin"), sorted(folder.glob("*.png")))
        write_rclip(tmp_path / "rclip" / "db.sqlite3", vectors)
        embed_shards(folder, tmp_path / "shards", model="builtin")
    delete_segments(place, [1])  # so that each command has a change to publish
    tokens, connect = [], MilvusClient.__init__
    monkeypatch.setattr(
        MilvusClient, "__init__", lambda self, **how: tokens.append(how["token"]) or connect(self, **how)
    )
    monkeypatch.setenv("CLEW_MILVUS_TOKEN", "root:hush-hush")
    assert clew(*command).exit_code == 0
    assert set(tokens) == {"root:hush-hush"}


def test_commands_publish_and_show_the_server_but_not_the_token(library, clew, server, place, monkeypatch):
    monkeypatch.setenv("CLEW_MILVUS_TOKEN", "root:hush-hush")
    done = clew("publish", server.address, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["written"] == 7
    status = clew("status").stdout
    assert f"Server   {server.address}: 7 vectors published" in status.splitlines()
    again = clew("publish", "--check")
    assert f"{server.address}: 0 vectors written, 0 deleted, 0 rows differed in" in again.stdout
    failed = clew("publish", f"http://127.0.0.1:{free_port()}")
    assert failed.exit_code == 2
    assert "cannot be reached" in failed.stderr
    refused = clew("index", "--vectors", "http://root:hush-hush@host")
    assert refused.exit_code == 2
    assert "contains a password" in refused.stderr
    shown = done.output + status + again.output + failed.output + refused.output
    written = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert "hush-hush" not in shown
    assert b"hush-hush" not in written


def test_publish_over_tls_needs_the_certificate_of_the_server(drawn, server, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subject = ["-subj", "/CN=milvus.test", "-addext", "subjectAltName=DNS:milvus.test", "-days", "2"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])  # as gRPC requires
    port = free_port()
    with relay(("127.0.0.1", port), ("127.0.0.1", server.port), context):
        address = f"https://127.0.0.1:{port}"
        with pytest.raises(VectorServerError, match="cannot be reached"):
            MilvusServer(address, call_seconds=2.0).connect()
        published = publish_library(f"{address}?ca={certificate}&name=milvus.test", library=drawn)
        assert published.written == 40
        check_search(drawn)
    assert_published(drawn, MilvusServer(server.address))


@pytest.fixture(scope="module")
def standalone(tmp_path_factory):
    """Yield a StandaloneServer."""
    if not has_standalone():
        pytest.skip("the package milvus is not installed, or `unshare --net` is not permitted")
    with standalone_server(tmp_path_factory.mktemp("standalone")) as server:
        yield server


@pytest.mark.large
def test_killed_publishes_lose_and_repeat_nothing_on_the_standalone_server(drawn, standalone):
    steps = (9, 17, 26)
    assert kill_publishers(drawn, standalone.address, steps, lambda: check_search(drawn)) == len(steps)
    assert_published(drawn, MilvusServer(standalone.address))


@pytest.mark.large
def test_killed_standalone_server_loses_and_repeats_nothing(drawn, standalone):
    kill_server_while_publishing(drawn, standalone, 5.0)


@pytest.mark.large
def test_collection_without_an_index_gets_one_on_the_standalone_server(drawn, standalone, monkeypatch):
    """As after a kill between two requests; the server does not load a collection without an index."""

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    def kill_before(request):
        with monkeypatch.context() as killed:
            killed.setattr(MilvusClient, request, interrupt)
            assert publish_library(standalone.address, library=drawn).interrupted

    kill_before("create_index")
    kill_before("load_collection")
    assert publish_library(library=drawn).written == 40
    monkeypatch.setattr(collection_writer, "method_for", lambda count: "hnsw")
    write_library(drawn, VECTORS, range(41, 51))
    kill_before("create_index")
    assert publish_library(library=drawn).written == 0
    assert_published(drawn, MilvusServer(standalone.address))
    check_search(drawn)


@pytest.mark.large
def test_deleted_rows_are_not_found_on_the_standalone_server(drawn, standalone):
    """Reads of the level Bounded still show them for a while."""
    publish_library(standalone.address, library=drawn)
    server = MilvusServer(standalone.address)
    for first in (1, 11, 21):
        delete_segments(drawn, range(first, first + 5))
        publish_library(library=drawn)
        assert_published(drawn, server)
        check_search(drawn)


@pytest.mark.large
def test_index_of_the_standalone_server_agrees_with_exact_search(standalone):
    vectors, queries = unit_vectors(3_000, 32), unit_vectors(20, 32, seed=1)
    ids = np.arange(1, 3_001, dtype=np.int64) * 3
    exact = ExactIndex(ids, vectors)
    index = build_index(MilvusServer(standalone.address), "conformance", ids, vectors)
    lists = MilvusIndex(index.collection, "image", int(ids[-1]), max_listed_ids=300)
    for allowed in (None, ids[::9], ids[::2], np.arange(0, 9_000, 7)):
        for searched in (index, lists):
            scores, found = searched.search(queries, 2_500, allowed)
            true_scores, best = exact.search(queries, 2_500, allowed)
            np.testing.assert_array_equal(found >= 0, best >= 0)
            np.testing.assert_allclose(scores[best >= 0], true_scores[best >= 0], atol=1e-5)
            np.testing.assert_array_equal(np.sort(found), np.sort(best))


@pytest.mark.large
def test_standalone_server_with_passwords_refuses_a_wrong_one(drawn, tmp_path):
    if not has_standalone():
        pytest.skip("the package milvus is not installed, or `unshare --net` is not permitted")
    with standalone_server(tmp_path, "common.security.authorizationEnabled=true") as server:
        with pytest.raises(VectorServerError, match="CLEW_MILVUS_TOKEN") as refused:
            publish_library(server.address, library=drawn, token="root:hush-hush")
        assert "hush-hush" not in str(refused.value)
        assert publish_library(server.address, library=drawn, token="root:Milvus").written == 40
        spaces = PublishedSpaces("root:Milvus")
        assert search(drawn, QUERIES, spaces=spaces) == (exact_search(drawn, QUERIES), None)
        found, problem = search(drawn, QUERIES)
        assert found == exact_search(drawn, QUERIES)
        assert "CLEW_MILVUS_TOKEN" in problem
