"""Folders, archives and shards in an object store: moto's server of S3 on the loopback interface."""

import os

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from indexer import ShardOptions, embed_shards, forget, import_vectors, update_library
from retrieval import Library
from retrieval.errors import QueryError
from tests.support.shards import draw_media
from tests.support.toy_embedder import CountingToyEmbedder, ToyEmbedder

FOUR = ShardOptions(files_per_shard=4)


@pytest.fixture(scope="module")
def server():
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


@pytest.fixture(scope="module")
def bucket(server, tmp_path_factory):
    """Return the URL of a bucket with the files of `draw_media` in a folder."""
    folder = draw_media(tmp_path_factory.mktemp("media"))
    store = fsspec.filesystem("s3")
    store.mkdir("media")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.put_file(str(path), f"media/in/{path.relative_to(folder)}")
    return "s3://media"


def test_folder_of_a_bucket_is_embedded_and_found(bucket, tmp_path, place):
    counting = CountingToyEmbedder()
    result = embed_shards(f"{bucket}/in/", tmp_path / "out", embedder=ToyEmbedder(), options=FOUR)
    assert (result.files, result.failed, result.shards) == (13, 1, 4)
    imported = import_vectors(tmp_path / "out", library=place, embedder=counting)
    assert (imported.adopted, imported.missing, imported.changed) == (12, (), ())
    assert [str(folder) for folder in imported.folders] == ["s3://media/in"]
    assert [str(failure.path) for failure in imported.failed] == ["s3://media/in/bad.png"]
    assert imported.notes == (
        "Files in s3://media/in are found and are shown as thumbnails, but cannot be opened by clew.",
    )
    with Library.open(place, embedder=counting) as library:
        first = library.search("green", kind="image")[0]
        assert (str(first.path), first.offline) == ("s3://media/in/colors/green.png", True)
        assert library.thumbnail(first.id)
        assert str(library.search("a red thing", kind="text")[0].path) == "s3://media/in/colors/red.png"
        assert [str(failure.path) for failure in library.failures()] == ["s3://media/in/bad.png"]
    report = update_library(
        library=place,
        embedder=counting,
    )
    assert (report.offline, report.gone, report.notes, counting.image_count) == (13, 0, [], 0)
    assert forget("s3://media/in", library=place)[0] == 13


def test_archive_in_a_bucket_is_embedded(bucket, tmp_path, place):
    result = embed_shards(f"{bucket}/in/00000.tar", tmp_path, embedder=ToyEmbedder())
    assert (result.files, result.shards) == (3, 1)
    import_vectors(tmp_path, library=place, embedder=ToyEmbedder())
    with Library.open(place, embedder=ToyEmbedder()) as library:
        assert {str(hit.path) for hit in library.search("red")} == {
            "s3://media/in/00000.tar/000.png",
            "s3://media/in/00000.tar/001.png",
        }


def test_shards_in_a_bucket_are_those_of_a_folder_and_are_imported(bucket, tmp_path, place):
    media, store = draw_media(tmp_path / "media"), fsspec.filesystem("s3")
    embed_shards(media, tmp_path / "out", embedder=ToyEmbedder(), options=FOUR)
    result = embed_shards(media, f"{bucket}/out", embedder=ToyEmbedder(), options=FOUR)
    assert (result.shards, result.known) == (4, 0)
    local = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert {name.rpartition("/")[2]: store.cat_file(name) for name in store.ls("media/out")} == local
    store.rm_file(next(name for name in store.ls("media/out") if "00000002-" in name))
    result = embed_shards(media, f"{bucket}/out", embedder=ToyEmbedder(), options=FOUR)
    assert (result.shards, result.known) == (1, 3)
    assert import_vectors(f"{bucket}/out", library=place, embedder=ToyEmbedder()).adopted == 12


def test_object_that_is_gone_costs_one_file(bucket, tmp_path):
    store = fsspec.filesystem("s3")
    for name in ("a", "b"):
        store.pipe_file(f"media/few/{name}.txt", name.encode())
    embed_shards(f"{bucket}/few", tmp_path, embedder=ToyEmbedder())
    next(tmp_path.glob("*.parquet")).unlink()
    store.rm_file("media/few/a.txt")
    result = embed_shards(f"{bucket}/few", tmp_path, embedder=ToyEmbedder())
    assert (result.files, result.failed, result.shards) == (2, 1, 1)


def test_missing_bucket_and_unknown_protocol_are_refused(server, tmp_path):
    with pytest.raises(QueryError, match="s3://none has no file"):
        embed_shards("s3://none", tmp_path, embedder=ToyEmbedder())
    with pytest.raises(QueryError, match="Cannot open nothing://x"):
        embed_shards("nothing://x", tmp_path, embedder=ToyEmbedder())
    assert os.listdir(tmp_path) == []
