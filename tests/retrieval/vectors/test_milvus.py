"""A collection of a Milvus server as an index: kinds, limits of the server, invalid queries and addresses."""

import sys

import numpy as np
import pytest

from retrieval.errors import VectorServerError
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.milvus import collection as collection_module
from retrieval.vectors.milvus import index as index_module
from retrieval.vectors.milvus.index import MilvusIndex
from retrieval.vectors.milvus.server import MilvusServer, ServerAddress
from tests.support.milvus_servers import build_collection, lite_in_process, needs_lite, unit_vectors

COUNT, DIM = 300, 8
VECTORS, QUERIES = unit_vectors(COUNT, DIM), unit_vectors(5, DIM, seed=1)
IDS = np.arange(1, COUNT + 1, dtype=np.int64) * 5
IMAGES, TEXTS = slice(0, None, 2), slice(1, None, 2)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Return a collection of which every other row is an image, and the others are texts."""
    with lite_in_process(tmp_path_factory.mktemp("milvus")) as server:
        writer = build_collection(server, "kinds", IDS[IMAGES], VECTORS[IMAGES])
        writer.upsert(IDS[TEXTS], ["text"] * len(IDS[TEXTS]), VECTORS[TEXTS])
        writer.set_revision(7, set())
        yield writer.rows


def images(rows, **options):
    return MilvusIndex(rows, "image", int(IDS[-1]), **options)


def assert_exact(index, count, allowed=None):
    scores, found = index.search(QUERIES, count, allowed)
    true_scores, best = ExactIndex(IDS[IMAGES], VECTORS[IMAGES]).search(QUERIES, count, allowed)
    np.testing.assert_array_equal(found, best)
    np.testing.assert_allclose(scores, true_scores, atol=1e-5)


@needs_lite
@pytest.mark.parametrize("allowed", [None, IDS[::3], IDS])
def test_search_returns_only_its_kind(rows, allowed):
    assert len(images(rows)) == len(IDS[IMAGES])
    assert_exact(images(rows), 20, allowed)
    assert_exact(images(rows), 400, allowed)


@needs_lite
@pytest.mark.parametrize("max_listed_ids", [10, 1_000])
@pytest.mark.parametrize("count", [40, 120, 400])
@pytest.mark.parametrize("allowed", [None, IDS[::3], IDS[:200]])
def test_more_hits_than_the_server_returns_are_found(rows, count, allowed, max_listed_ids, monkeypatch):
    for name, value in (("MAX_RESULTS", 50), ("RANGE_IDS", 45)):
        monkeypatch.setattr(index_module, name, value)
        monkeypatch.setattr(collection_module, name, value)
    assert_exact(images(rows, max_listed_ids=max_listed_ids), count, allowed)


@needs_lite
def test_hits_that_the_server_leaves_out_are_found(rows, monkeypatch):
    """As the temporary index of new rows does in the server of 2024."""
    from pymilvus import MilvusClient

    search = MilvusClient.search

    def leave_out(*arguments, **options):
        return [list(hits)[: len(hits) // 3] for hits in search(*arguments, **options)]

    monkeypatch.setattr(MilvusClient, "search", leave_out)
    for allowed in (None, IDS[::3], IDS[:200]):
        assert_exact(images(rows), 30, allowed)
        assert_exact(images(rows, max_listed_ids=10), 30, allowed)


@needs_lite
def test_collection_that_has_grown_gets_a_graph(tmp_path):
    with lite_in_process(tmp_path) as server:
        writer = build_collection(server, "grown", IDS[IMAGES], VECTORS[IMAGES])
        assert server.call("describe_index", "grown", "vector")["index_type"] == "FLAT"
        writer.finish(200_001)
        assert server.call("describe_index", "grown", "vector")["index_type"] == "HNSW"
        assert_exact(images(writer.rows), 20)
        assert_exact(images(writer.rows), 400, IDS[::3])


@needs_lite
@pytest.mark.parametrize("query", [np.ones((1, DIM + 1)), np.ones(DIM), np.full((1, DIM), np.nan)])
def test_invalid_query_raises_value_error(rows, query):
    with pytest.raises(ValueError, match=r"dimensions|finite"):
        images(rows).search(query.astype(np.float32), 3)


@pytest.mark.parametrize(
    ("address", "uri", "options"),
    [
        ("http://localhost:19531", "http://localhost:19531", {"db_name": "", "secure": False}),
        ("http://[::1]", "http://[::1]:19530", {"db_name": "", "secure": False}),
        ("https://milvus.test/photos", "https://milvus.test:19530", {"db_name": "photos", "secure": True}),
        ("/tmp/vectors.db", "/tmp/vectors.db", {}),
    ],
)
def test_address_has_host_port_and_database(address, uri, options):
    parsed = ServerAddress.parse(address)
    assert (parsed.uri, parsed.options) == (uri, options)


def test_address_with_tls_names_files(tmp_path):
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    for file in files.values():
        file.touch()
    query = "&".join(f"{name}={file}" for name, file in files.items())
    assert ServerAddress.parse(f"https://host?{query}&name=milvus.test").options == {
        **{"db_name": "", "secure": True, "server_name": "milvus.test"},
        **{"ca_pem_path": str(files["ca"]), "client_pem_path": str(files["cert"])},
        "client_key_path": str(files["key"]),
    }
    assert ServerAddress.parse(f"https://host?ca={files['ca']}").options["server_pem_path"] == str(
        files["ca"]
    )


@pytest.mark.parametrize(
    "address",
    [
        *("localhost", "localhost:19530", "ftp://host", "http://", "http://host:port", "vectors.sqlite"),
        *("https://host?color=red", "http://host?name=x"),
        *("https://host?cert=/etc/hostname", "https://host?cert=/etc/hostname&key=/etc/hostname"),
    ],
)
def test_invalid_address_says_what_to_use(address):
    with pytest.raises(VectorServerError, match=r"http://HOST:19530"):
        ServerAddress.parse(address)


def test_address_has_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ServerAddress.parse("vectors.db").text == str(tmp_path / "vectors.db")
    text = f"https://host/photos?ca={tmp_path}/my%20ca.pem&name=milvus.test"
    assert ServerAddress.parse("https://host/photos?ca=my%20ca.pem&name=milvus.test").text == text
    monkeypatch.chdir("/")
    assert ServerAddress.parse(text).text == text


def test_missing_file_of_an_address_says_what_to_do(tmp_path):
    address = ServerAddress.parse(f"https://host?ca={tmp_path}/missing.pem")
    with pytest.raises(VectorServerError, match=r"missing.pem not found.*clew index --vectors local"):
        address.check_files()


@needs_lite
def test_folder_of_milvus_lite_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "milvus_lite", None)
    with pytest.raises(VectorServerError, match="pip install milvus-lite"):
        MilvusServer(str(tmp_path / "vectors.db")).connect()
    assert not list(tmp_path.iterdir())


@needs_lite
def test_folder_that_milvus_lite_cannot_open_says_why(tmp_path):
    (tmp_path / "photos.db").write_text("no folder")
    for path in ("photos.db", "missing/vectors.db"):
        with pytest.raises(VectorServerError, match=r"cannot open .*exist.*\. Name another"):
            MilvusServer(str(tmp_path / path)).connect()
    assert not (tmp_path / "missing").exists()


def test_address_with_a_password_is_refused_without_showing_it():
    with pytest.raises(VectorServerError, match="CLEW_MILVUS_TOKEN") as error:
        ServerAddress.parse("http://root:hush-hush@host:19530")
    assert "hush-hush" not in str(error.value)
