"""Tests of when and how the index files of a space are built."""

import hashlib
import os

import numpy as np
import pytest

from indexer.maintenance.build_index import (
    build_if_due,
    build_indexes,
    save_index,
)
from indexer.maintenance.index_plan import is_outdated
from indexer.store.spaces import active_space
from retrieval.catalog.schema import INDEX_FOLDER, vectors_table
from retrieval.errors import LibraryDamaged
from retrieval.vectors.faiss_index import FaissIndex
from retrieval.vectors.index_files import check_index_file
from retrieval.vectors.space_index import SpaceIndex
from tests.indexer.maintenance.conftest import unit_vectors


@pytest.fixture
def space_of(writer):
    """Return the active space as the catalog has it now."""
    return lambda: active_space(writer.catalog)


def delete_vectors(writer, ids):
    with writer.db.atomic():
        for id_ in ids:
            writer.db.execute(f"DELETE FROM {vectors_table(writer.space_id)} WHERE segment = ?", (id_,))
            writer.db.execute("DELETE FROM segments WHERE id = ?", (id_,))


def test_empty_library_gets_no_index(writer):
    assert build_if_due(writer).indexes == ()


def test_first_build_writes_one_file_for_each_kind(writer, insert, space_of):
    insert(unit_vectors(30))
    insert(unit_vectors(20, seed=2), kind="text")
    space = build_if_due(writer)
    assert space == space_of()
    assert {(file.kind, file.count, file.method) for file in space.indexes} == {
        ("image", 30, "flat"),
        ("text", 20, "flat"),
    }
    assert space.indexed_to == 50
    folder = writer.folder / INDEX_FOLDER
    assert {path.name for path in folder.iterdir()} == {file.file for file in space.indexes}


@pytest.mark.parametrize(("added", "is_rebuilt"), [(11, False), (12, True)])
def test_index_is_rebuilt_when_a_tenth_is_unindexed(writer, insert, added, is_rebuilt):
    insert(unit_vectors(100))
    before = build_if_due(writer)
    insert(unit_vectors(added, seed=2))
    after = build_if_due(writer)
    assert (after != before) == is_rebuilt
    assert after.indexes[0].count == 100 + added * is_rebuilt


@pytest.mark.parametrize(("deleted", "is_rebuilt"), [(9, False), (10, True)])
def test_index_is_rebuilt_when_a_tenth_is_deleted(writer, insert, deleted, is_rebuilt):
    ids = insert(unit_vectors(100))
    before = build_if_due(writer)
    delete_vectors(writer, ids[:deleted])
    assert (build_if_due(writer) != before) == is_rebuilt


def test_method_is_saved_and_auto_chooses_by_size_again(writer, insert):
    insert(unit_vectors(300))
    assert build_if_due(writer, "ivf").indexes[0].method == "ivf"
    assert build_if_due(writer).indexes[0].method == "ivf"
    assert build_if_due(writer, "auto").indexes[0].method == "flat"
    assert writer.settings().index_method is None


def test_kind_without_new_vectors_keeps_its_file(writer, insert):
    insert(unit_vectors(30))
    (images,) = build_if_due(writer).indexes
    insert(unit_vectors(30, seed=2), kind="text")
    after = {file.kind: file for file in build_if_due(writer).indexes}
    assert after["image"] == images and after["text"].count == 30


def test_damaged_index_is_detected_and_rebuilt(writer, insert):
    insert(unit_vectors(30))
    (file,) = build_if_due(writer).indexes
    path = writer.folder / INDEX_FOLDER / file.file
    assert check_index_file(writer.folder, file, completely=True) == file
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LibraryDamaged, match="checksum"):
        check_index_file(writer.folder, file)
    path.unlink()
    with pytest.raises(LibraryDamaged, match="missing"):
        check_index_file(writer.folder, file)
    (rebuilt,) = build_if_due(writer).indexes
    assert check_index_file(writer.folder, rebuilt, completely=True) == rebuilt


def test_checksum_of_an_index_file_is_computed_only_if_it_was_modified(writer, insert, space_of):
    insert(unit_vectors(30))
    (file,) = build_if_due(writer).indexes
    path = writer.folder / INDEX_FOLDER / file.file
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    os.utime(path, ns=(file.mtime, file.mtime))  # as a disk damages a file
    assert check_index_file(writer.folder, file) == file
    with pytest.raises(LibraryDamaged, match="checksum"):
        check_index_file(writer.folder, file, completely=True)
    path.write_bytes(data)
    os.utime(path, ns=(file.mtime + 10**9, file.mtime + 10**9))  # as `cp -r` copies a library
    assert check_index_file(writer.folder, file).mtime == file.mtime + 10**9
    build_if_due(writer)
    assert space_of().indexes[0].mtime == file.mtime + 10**9


def test_old_files_and_temporary_files_are_deleted(writer, insert):
    insert(unit_vectors(30))
    build_if_due(writer)
    folder = writer.folder / INDEX_FOLDER
    (folder / ".123.tmp").write_bytes(b"killed")
    insert(unit_vectors(30, seed=2))
    (file,) = build_if_due(writer).indexes
    assert [path.name for path in folder.iterdir()] == [file.file]


def test_index_of_an_older_format_is_outdated(writer, insert):
    from dataclasses import replace

    insert(unit_vectors(30))
    (file,) = build_if_due(writer).indexes
    assert not is_outdated(file)
    assert is_outdated(replace(file, format="other"))


@pytest.mark.parametrize("unknown", ["", "annoy"])
def test_index_of_an_unknown_format_is_searched_exactly_and_rebuilt(writer, insert, space_of, unknown):
    vectors = unit_vectors(300)
    ids = insert(vectors)
    (file,) = build_if_due(writer, "ivf").indexes
    with writer.db.atomic():
        writer.db.execute("UPDATE indexes SET format = ?", (unknown,))
    index = SpaceIndex(writer.catalog, space_of())
    assert index.indexes == {}
    assert "unknown format" in index.damage
    scores, found_ids = index.search(vectors[:1], "image", 10)
    exact = np.argsort(-(vectors @ vectors[0]))[:10]
    assert found_ids.tolist() == [ids[row] for row in exact]
    np.testing.assert_allclose(scores, vectors[exact] @ vectors[0], atol=2e-3)
    (rebuilt,) = build_if_due(writer).indexes
    assert rebuilt.format == file.format
    assert SpaceIndex(writer.catalog, space_of()).damage is None


def test_saved_index_has_the_returned_checksum_and_size(tmp_path):
    vectors = unit_vectors(50)
    index = FaissIndex.build("flat", vectors, iter([(np.arange(1, 51), vectors)]), 50)
    digest, size = save_index(index, tmp_path / "index")
    data = (tmp_path / "index").read_bytes()
    assert (digest, size) == (hashlib.sha256(data).hexdigest(), len(data))


def test_crash_before_the_catalog_is_updated_keeps_the_old_index(writer, insert, space_of, monkeypatch):
    insert(unit_vectors(30))
    before = build_if_due(writer)
    insert(unit_vectors(30, seed=2))

    def fail(self, space):
        raise RuntimeError("killed")

    monkeypatch.setattr("indexer.store.spaces.Spaces.set_indexes", fail)
    with pytest.raises(RuntimeError):
        build_indexes(writer, before)
    assert space_of() == before
    assert check_index_file(writer.folder, before.indexes[0], completely=True) == before.indexes[0]
