"""Folders, archives and shards in object stores of S3 and Google Cloud Storage, on the loopback interface.

The server of S3 is that of moto, and the other one that of gcp-storage-emulator.
"""

import json
import os
import re
import sys
from contextlib import contextmanager

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from indexer import ShardOptions, embed_shards, forget, import_vectors, update_library
from retrieval import Library
from retrieval.errors import ExtraMissing, QueryError
from tests.support.milvus_servers import free_port
from tests.support.shards import draw_media
from tests.support.toy_embedder import CountingToyEmbedder, ToyEmbedder

FOUR = ShardOptions(files_per_shard=4)


@contextmanager
def s3_server():
    """Run a server of S3, and set the variables that name it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield
    server.stop()


def read_upload(request):
    """Return the parts of a simple upload of gcsfs, None for other requests.

    The emulator reads them as e-mail, which takes a carriage return at the end of an object for a line end.
    """
    if request.headers.get("Content-Type") != 'multipart/related; boundary="==0=="':
        return None
    body = request.rfile.read(int(request.headers["Content-Length"]))
    _, properties, content = body.removesuffix(b"\n--==0==--").split(b"--==0==\n", 2)
    return {
        "meta": json.loads(properties.partition(b"\n\n")[2]),
        "content": content.partition(b"\n\n")[2],
        "content-type": "application/octet-stream",
    }


@contextmanager
def gs_server():
    """Run a server of Google Cloud Storage, and set the variables that name it."""
    pytest.importorskip("gcsfs")
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    server = emulator.create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    host, port = server._api._httpd.server_address
    read_body = emulator._read_data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            emulator, "_read_data", lambda request, query: read_upload(request) or read_body(request, query)
        )
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://{host}:{port}")
        patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # would ask for the type of a bucket
        yield
    server.stop()


@pytest.fixture(scope="module", params=["s3", "gs"])
def protocol(request):
    """Run the server of a protocol."""
    with {"s3": s3_server, "gs": gs_server}[request.param]():
        yield request.param


@pytest.fixture(scope="module")
def store(protocol):
    """Return a client of the server; those of servers that have ended are not used again."""
    fsspec.get_filesystem_class(protocol).clear_instance_cache()
    return fsspec.filesystem(protocol)


@pytest.fixture(scope="module")
def bucket(protocol, store, tmp_path_factory):
    """Return the URL of a bucket with the files of `draw_media` in a folder."""
    folder = draw_media(tmp_path_factory.mktemp("media"))
    store.mkdir("media")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.put_file(str(path), f"media/in/{path.relative_to(folder)}")
    return f"{protocol}://media"


def test_object_that_ends_with_a_line_end_is_kept_whole(bucket, store):
    for end in (b"\r", b"\n", b"\r\n", b"\n--==0=="):
        store.pipe_file("media/ends", b"\x00" + end)
        assert store.cat_file("media/ends") == b"\x00" + end


def test_folder_of_a_bucket_is_embedded_and_found(bucket, tmp_path, place):
    counting = CountingToyEmbedder()
    result = embed_shards(f"{bucket}/in/", tmp_path / "out", embedder=ToyEmbedder(), options=FOUR)
    assert (result.files, result.failed, result.shards) == (13, 1, 4)
    imported = import_vectors(tmp_path / "out", library=place, embedder=counting)
    assert (imported.adopted, imported.missing, imported.changed) == (12, (), ())
    assert [str(folder) for folder in imported.folders] == [f"{bucket}/in"]
    assert [str(failure.path) for failure in imported.failed] == [f"{bucket}/in/bad.png"]
    assert imported.notes == (
        f"Files in {bucket}/in are found and are shown as thumbnails, but cannot be opened by clew.",
    )
    with Library.open(place, embedder=counting) as library:
        first = library.search("green", kind="image")[0]
        assert (str(first.path), first.offline) == (f"{bucket}/in/colors/green.png", True)
        assert library.thumbnail(first.id)
        assert str(library.search("a red thing", kind="text")[0].path) == f"{bucket}/in/colors/red.png"
        assert [str(failure.path) for failure in library.failures()] == [f"{bucket}/in/bad.png"]
    report = update_library(
        library=place,
        embedder=counting,
    )
    assert (report.offline, report.gone, report.notes, counting.image_count) == (13, 0, [], 0)
    assert forget(f"{bucket}/in", library=place)[0] == 13


def test_archive_in_a_bucket_is_embedded(bucket, tmp_path, place):
    result = embed_shards(f"{bucket}/in/00000.tar", tmp_path, embedder=ToyEmbedder())
    assert (result.files, result.shards) == (3, 1)
    import_vectors(tmp_path, library=place, embedder=ToyEmbedder())
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert {str(hit.path) for hit in library.search("red")} == {
            f"{bucket}/in/00000.tar/000.png",
            f"{bucket}/in/00000.tar/001.png",
        }


def test_shards_in_a_bucket_are_those_of_a_folder_and_are_imported(bucket, store, tmp_path, place):
    media = draw_media(tmp_path / "media")
    embed_shards(media, tmp_path / "out", embedder=ToyEmbedder(), options=FOUR)
    result = embed_shards(media, f"{bucket}/out", embedder=ToyEmbedder(), options=FOUR)
    assert (result.shards, result.known) == (4, 0)
    local = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {name.rpartition("/")[2]: store.cat_file(name) for name in store.ls("media/out")} == local
    store.rm_file(next(name for name in store.ls("media/out") if "00000002-" in name))
    result = embed_shards(media, f"{bucket}/out", embedder=ToyEmbedder(), options=FOUR)
    assert (result.shards, result.known) == (1, 3)
    assert import_vectors(f"{bucket}/out", library=place, embedder=ToyEmbedder()).adopted == 12


def test_object_that_is_gone_costs_one_file(bucket, store, tmp_path):
    for name in ("a", "b"):
        store.pipe_file(f"media/few/{name}.txt", name.encode())
    embed_shards(f"{bucket}/few", tmp_path, embedder=ToyEmbedder())
    next(tmp_path.glob("*.parquet")).unlink()
    store.rm_file("media/few/a.txt")
    result = embed_shards(f"{bucket}/few", tmp_path, embedder=ToyEmbedder())
    assert (result.files, result.failed, result.shards) == (2, 1, 1)


def test_missing_bucket_and_unknown_protocol_are_refused(protocol, store, tmp_path):
    with pytest.raises(QueryError, match=f"{protocol}://none has no file"):
        embed_shards(f"{protocol}://none", tmp_path, embedder=ToyEmbedder())
    with pytest.raises(QueryError, match="Cannot open nothing://x"):
        embed_shards("nothing://x", tmp_path, embedder=ToyEmbedder())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "command",
    [
        ("import", "s3://bucket/x"),
        ("embed", "s3://bucket/x.tar", "--out", "out"),
        ("embed", "s3://bucket/x", "--out", "out"),
        ("embed", "pictures", "--out", "s3://bucket/out"),
    ],
)
def test_store_that_cannot_be_reached_is_one_line(command, clew, folder, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    client = fsspec.get_filesystem_class("s3")
    client.clear_instance_cache()
    model = ["--model", "builtin"] * (command[0] == "embed")
    result = clew(*command, *model)
    client.clear_instance_cache()
    assert result.exit_code == 2
    assert re.fullmatch(r"Error: Cannot (list|read) .*bucket/\w+.*: Could not connect .*\n", result.stderr)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("s3://a", "s3fs", "ray"), ("gs://a", "gcsfs", "gcs"), ("gcs://a", "gcsfs", "gcs")],
)
def test_package_of_an_object_store_that_is_missing_is_named_by_its_extra(
    url, package, extra, tmp_path, monkeypatch
):
    registered = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(registered, url.partition(":")[0], raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExtraMissing, match=rf"pip install \"clew-search\[{extra}\]\""):
        embed_shards(url, tmp_path, embedder=ToyEmbedder())
