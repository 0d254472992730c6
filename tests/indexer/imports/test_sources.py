"""Sources name their model, and damaged ones are refused."""

import os
import pickle
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from indexer.imports.rclip import RclipDatabase
from indexer.imports.source_path import open_source
from retrieval.errors import QueryError
from tests.support.stored_vectors import vectors_of, write_clip_retrieval, write_rclip


@pytest.fixture
def vectors(folder, toy):
    return vectors_of(toy, sorted(folder.iterdir()))


def overwrite(path, at, data):
    """Replace bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"no database" * 99), "Cannot read"),
        (lambda path: path.write_bytes(b""), "no table of images"),
        (lambda path: path.unlink(), "neither db.sqlite3 of rclip nor"),
        (lambda path: overwrite(path, 4_096, b"\xff" * (path.stat().st_size - 4_096)), "malformed"),
        (lambda path: overwrite(path, path.read_bytes().index(b"filepath"), b"\x80"), "Cannot read|no table"),
    ],
)
def test_damaged_database_is_refused(damage, message, vectors, tmp_path):
    damage(write_rclip(tmp_path / "rclip" / "db.sqlite3", vectors))
    with pytest.raises(QueryError, match=message):
        open_source(tmp_path / "rclip")


@pytest.mark.parametrize(
    ("version", "model"),
    [
        (1, "ViT-B-32-quickgelu/openai"),
        (2, "ViT-B-32-quickgelu/openai"),
        (3, "ViT-B-32-256/datacomp_s34b_b86k"),
        (4, "ViT-B-32-256/datacomp_s34b_b86k"),
        (5, None),
    ],
)
def test_version_of_rclip_gives_the_model(version, model, vectors, tmp_path):
    with closing(RclipDatabase(write_rclip(tmp_path / "db.sqlite3", vectors, version))) as source:
        assert source.model == model
        assert [image.path for image in source.images()] == [bytes(path) for path in vectors]


def test_rows_of_all_parts_have_their_path_and_vector(vectors, tmp_path):
    folder = write_clip_retrieval(tmp_path / "embeddings", vectors, part_size=3)
    with closing(open_source(folder)) as source:
        images = list(source.images())
        assert [image.path for image in images] == [bytes(path) for path in vectors]
        rows = source.vectors([image.row for image in images[::-1]])
    np.testing.assert_array_equal(rows[::-1], np.stack(list(vectors.values())).astype(np.float16))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((6, 3), np.float16), "6 vectors, but .* 7 rows"),
        (np.array([{"a": 1}] * 7), "Cannot read"),
        (np.ones((7, 3), np.int64), "not an array of floats"),
        (np.ones(7), "not an array of floats"),
    ],
)
def test_pickled_and_mismatched_arrays_are_refused(array, message, vectors, tmp_path):
    folder = write_clip_retrieval(tmp_path / "embeddings", vectors)
    np.save(folder / "img_emb" / "img_emb_0.npy", array)
    with pytest.raises(QueryError, match=message):
        open_source(folder)


class Pickled:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_pickle_in_place_of_an_array_is_not_loaded(vectors, tmp_path):
    folder = write_clip_retrieval(tmp_path / "embeddings", vectors)
    (folder / "img_emb" / "img_emb_0.npy").write_bytes(pickle.dumps(Pickled(tmp_path / "made")))
    with pytest.raises(QueryError, match="Cannot read"):
        open_source(folder)
    assert not (tmp_path / "made").exists()


def test_truncated_files_are_refused(vectors, tmp_path):
    folder = write_clip_retrieval(tmp_path / "embeddings", vectors)
    for path in (folder / "img_emb" / "img_emb_0.npy", folder / "metadata" / "metadata_0.parquet"):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(QueryError, match=path.name):
            open_source(folder)
        path.write_bytes(content)
    open_source(folder).close()
    (folder / "metadata" / "metadata_0.parquet").unlink()
    with pytest.raises(QueryError, match=r"metadata_0\.parquet"):
        open_source(folder)


def test_database_is_opened_read_only(vectors, tmp_path):
    path = write_rclip(tmp_path / "db.sqlite3", vectors)
    with closing(RclipDatabase(path)) as source, pytest.raises(sqlite3.OperationalError, match="readonly"):
        source._db.execute("DELETE FROM images")


HEADER = b"{'descr': '<f2', 'fortran_order': False, 'shape': (7, 3), }"


@pytest.mark.parametrize(
    "header", [HEADER.replace(b"',", b"'(", 1), HEADER[:30], HEADER.replace(b"7", b"7" * 30), b"(" * 99, b""]
)
def test_array_with_a_damaged_header_is_refused(header, vectors, tmp_path):
    folder = write_clip_retrieval(tmp_path / "embeddings", vectors)
    data = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(42)
    (folder / "img_emb" / "img_emb_0.npy").write_bytes(data)
    with pytest.raises(QueryError, match="Cannot read"):
        open_source(folder)


def test_archive_in_place_of_an_array_is_refused_and_closed(vectors, tmp_path):
    folder = write_clip_retrieval(tmp_path / "embeddings", vectors)
    path = folder / "img_emb" / "img_emb_0.npy"
    np.savez(tmp_path / "a.npz", np.ones((7, 3), np.float16))
    (tmp_path / "a.npz").replace(path)
    with pytest.raises(QueryError, match="Cannot read"):  # and no warning of an open file
        open_source(folder)
