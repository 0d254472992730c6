"""A folder that cannot be written, and a store that does not answer, end a command with one error."""

import errno
import os
import tempfile
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from indexer import ShardOptions, embed_shards, import_vectors
from indexer.distributed.remote import StoreError
from indexer.distributed.shard_folder import FolderUnwritable, ShardFolder
from retrieval.errors import ClewError
from tests.support.archive_files import small_png, write_archive
from tests.support.toy_embedder import CountingToyEmbedder, ToyEmbedder

ONE = ShardOptions(files_per_shard=1)
FULL = Path("/dev/full")


@pytest.fixture
def store():
    """Return an empty object store at memory://."""
    opened = fsspec.filesystem("memory")
    opened.store.clear()
    opened.pseudo_dirs[:] = [""]
    return opened


def fail(monkeypatch, method, *, times=10**9, ending="", error=RuntimeError):
    """Let a method of the store fail, for objects with this ending; return the list of the failed ones."""
    call, failed = getattr(MemoryFileSystem, method), []

    def called(self, *args, **options):
        path = str(args[method == "put_file"])
        if path.endswith(ending) and len(failed) < times:
            failed.append(path)
            raise error("Could not connect\nto the endpoint")
        return call(self, *args, **options)

    monkeypatch.setattr(MemoryFileSystem, method, called)
    return failed


def write_temporary_files(monkeypatch, write):
    """Let a function make the temporary files of shards; return the list of their names."""
    make, names = tempfile.mkstemp, []

    def called(prefix, dir):
        if ".parquet" not in prefix:
            return make(prefix=prefix, dir=dir)
        names.append(prefix)
        return write(Path(dir, f"{prefix}{len(names)}"))

    monkeypatch.setattr(tempfile, "mkstemp", called)
    return names


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_folder_that_cannot_be_written_ends_the_run_at_its_first_shard(code, folder, tmp_path, monkeypatch):
    def refuse(path):
        raise OSError(code, os.strerror(code), str(path))

    embedder, out = CountingToyEmbedder(), tmp_path / "out"
    names = write_temporary_files(monkeypatch, refuse)
    with pytest.raises(ClewError, match=f"Cannot write {out}: {os.strerror(code)}. Free space there"):
        embed_shards(folder, out, embedder=embedder, options=ONE)
    assert (len(names), embedder.image_count) == (1, 0)


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
def test_disk_that_is_full_while_a_shard_is_written_ends_the_run(folder, tmp_path, monkeypatch):
    def open_full(path):
        path.symlink_to(FULL)
        return os.open(path, os.O_RDONLY), str(path)

    out = tmp_path / "out"
    names = write_temporary_files(monkeypatch, open_full)
    with pytest.raises(ClewError, match=f"Cannot write {out}: No space left on device"):
        embed_shards(folder, out, embedder=ToyEmbedder(), options=ONE)
    assert len(names) == 1
    monkeypatch.undo()
    assert embed_shards(folder, out, embedder=ToyEmbedder(), options=ONE).shards == 7


def test_error_of_another_place_is_not_one_of_the_folder(tmp_path):
    with pytest.raises(PermissionError), ShardFolder(tmp_path).new_file("a"):
        raise PermissionError(errno.EACCES, "Permission denied", "/models/tower.onnx")
    with pytest.raises(FolderUnwritable), ShardFolder(tmp_path).new_file("a"):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")


def test_store_that_may_not_be_written_ends_the_run_at_its_first_shard(folder, store, monkeypatch):
    failed = fail(monkeypatch, "put_file", ending=".parquet", error=PermissionError)
    with pytest.raises(ClewError, match=r"Cannot write memory://b/out: Could not connect\. Free space"):
        embed_shards(folder, "memory://b/out", embedder=ToyEmbedder(), options=ONE)
    assert len(failed) == 1


@pytest.mark.parametrize(
    ("method", "command", "message"),
    [
        ("ls", "import", "Cannot list memory://b/out: Could not connect."),
        ("ls", "embed into", "Cannot list memory://b/new: Could not connect."),
        ("put_file", "embed into", "Cannot write memory://b/new/items.jsonl.zlib: Could not connect."),
        ("get_file", "import", "Cannot read memory://b/out/manifest.json: Could not connect."),
        ("find", "embed", "Cannot list /b/in: Could not connect."),
        ("info", "embed archive", "Cannot read memory:///b/in/a.tar: Could not connect."),
        ("rm_file", "delete", "Cannot delete memory://b/out/a: Could not connect."),
    ],
)
def test_store_that_does_not_answer_is_one_error(
    method, command, message, folder, store, place, tmp_path, monkeypatch
):
    commands = {
        "import": lambda: import_vectors("memory://b/out", library=place, embedder=ToyEmbedder()),
        "embed into": lambda: embed_shards(folder, "memory://b/new", embedder=ToyEmbedder()),
        "embed": lambda: embed_shards("memory://b/in", tmp_path / "out", embedder=ToyEmbedder()),
        "embed archive": lambda: embed_shards(
            "memory://b/in/a.tar", tmp_path / "out", embedder=ToyEmbedder()
        ),
        "delete": lambda: ShardFolder("memory://b/out").delete("a"),
    }
    if command == "import":
        embed_shards(folder, "memory://b/out", embedder=ToyEmbedder())
    fail(monkeypatch, method)
    with pytest.raises(StoreError) as caught:
        commands[command]()
    assert str(caught.value) == message


def test_import_resumes_after_a_store_did_not_answer(folder, store, place, monkeypatch):
    embed_shards(folder, "memory://b/out", embedder=ToyEmbedder(), options=ONE)
    shards = ShardFolder("memory://b/out").shard_names()
    with monkeypatch.context() as patch, pytest.raises(StoreError, match=f"{shards[3]}: Could not connect"):
        fail(patch, "get_file", ending=shards[3])
        import_vectors("memory://b/out", library=place, embedder=ToyEmbedder())
    result = import_vectors("memory://b/out", library=place, embedder=ToyEmbedder())
    assert (result.adopted, result.known) == (4, 3)


def test_item_is_done_again_when_its_store_did_not_answer(store, tmp_path, monkeypatch):
    write_archive(tmp_path / "a.tar", {"0.png": small_png("red")})
    store.put_file(str(tmp_path / "a.tar"), "/b/in/a.tar")
    failed = fail(monkeypatch, "get_file", times=2)
    result = embed_shards("memory://b/in", tmp_path / "out", embedder=ToyEmbedder())
    assert (result.files, result.failed, len(failed)) == (1, 0, 2)
