"""The files of the built-in model are read for their checksum once."""

import hashlib
import os
import shutil

import pytest

from retrieval.embedders import builtin
from retrieval.embedders.builtin_model import checksums
from retrieval.errors import EmbedderError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "model_cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """Return a list that gets an item for each file that is hashed."""
    files = []
    original = hashlib.file_digest

    def file_digest(file, name):
        files.append(file.name)
        return original(file, name)

    monkeypatch.setattr(checksums.hashlib, "file_digest", file_digest)
    return files


def test_file_is_hashed_again_only_after_a_change(tmp_path, cache, reads):
    file = tmp_path / "file"
    file.write_bytes(b"data")
    digest = hashlib.sha256(b"data").hexdigest()
    assert checksums.verify_file(file, digest) == file
    checksums.verify_file(file, digest)
    assert len(reads) == 1
    os.utime(file, (1, 1))
    checksums.verify_file(file, digest)
    assert len(reads) == 2
    file.write_bytes(b"dat4")
    with pytest.raises(EmbedderError, match="Reinstall clew-search"):
        checksums.verify_file(file, digest)
    with pytest.raises(EmbedderError, match="Reinstall clew-search"):  # a failure is not remembered
        checksums.verify_file(file, digest)


def test_cache_that_cannot_be_written_costs_only_time(tmp_path, cache, reads):
    file = tmp_path / "file"
    file.write_bytes(b"data")
    cache.write_text("a file in place of the folder")
    for _ in range(2):
        checksums.verify_file(file, hashlib.sha256(b"data").hexdigest())
    assert len(reads) == 2


def test_damaged_table_of_the_tokenizer_is_rejected(tmp_path, cache):
    folder = shutil.copytree(builtin.MODEL_FOLDER, tmp_path / "model")
    with (folder / "tokenizer" / "scores.npy").open("r+b") as file:
        file.seek(500)
        file.write(b"!")
    with pytest.raises(EmbedderError, match=r"scores\.npy has a wrong checksum"):
        builtin.BuiltinEmbedder(folder).embed_texts(["a dog"])


def test_files_of_the_model_belong_to_its_version():
    # Other towers or another tokenizer make another space: raise builtin.VERSION and change this digest.
    sums = checksums.read_checksums(builtin.MODEL_FOLDER)
    parts = sorted(item for item in sums.items() if item[0] not in ("card.md", "metrics.json"))
    assert (builtin.VERSION, hashlib.sha256(repr(parts).encode()).hexdigest()[:16]) == (3, "5a202a566528710f")


def test_every_file_of_the_model_has_its_checksum():
    sums = checksums.read_checksums(builtin.MODEL_FOLDER)
    files = [
        path for path in builtin.MODEL_FOLDER.rglob("*") if path.suffix in (".npy", ".onnx", ".md", ".json")
    ]
    assert sorted(sums) == sorted(str(path.relative_to(builtin.MODEL_FOLDER)) for path in files)
    for name, digest in sums.items():
        assert hashlib.sha256((builtin.MODEL_FOLDER / name).read_bytes()).hexdigest() == digest
