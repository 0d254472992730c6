"""Tests of the index files of a growing library: which are written, merged and kept."""

import os
from dataclasses import replace

import numpy as np
import pytest

from indexer.maintenance import build_index
from indexer.maintenance.build_index import PeriodicBuild, build_if_due, build_indexes
from indexer.maintenance.index_plan import FileSizes, IndexPlanner, IndexRange, merged
from indexer.operations.backup import backup_library, restore_library
from indexer.operations.verify import verify_library
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import INDEX_FOLDER, vectors_table
from retrieval.vectors.space_index import SpaceIndex
from tests.indexer.maintenance.conftest import DIM, unit_vectors
from tests.support.catalog import downgrade_catalog
from tests.support.vector_library import drawn_embedder, insert_vectors

SIZES = FileSizes(max_unindexed=20, merge_ratio=2, min_file=30, max_small_file=60)


def ranges(*counts):
    """Return consecutive ranges of so many segments, each with a vector."""
    ends = np.cumsum((0, *counts)).tolist()
    return [
        IndexRange("image", start, start + count, count) for start, count in zip(ends, counts, strict=False)
    ]


@pytest.mark.parametrize(
    ("known", "new", "expected"),
    [
        ((), 25, [25]),
        ((1_000,), 25, [1_000, 25]),
        ((1_000, 50), 25, [1_000, 75]),  # at most twice as large
        ((1_000, 51), 25, [1_000, 51, 25]),
        ((1_000, 30), 1, [1_000, 31]),  # small files are always merged
        ((1_000, 31), 1, [1_000, 31, 1]),
        ((1_000, 140, 60, 25), 25, [1_000, 250]),  # a merged file merges others in turn
        ((100,), 50, [150]),
        ((1_000, 0, 200), 25, [1_000, 200, 25]),  # a range without vectors gets no file
        ((1_000, 20), 0, [1_000, 20]),
    ],
)
def test_new_vectors_are_merged_with_files_that_are_not_much_larger(known, new, expected):
    *before, last = ranges(*known, new)
    found = merged(before, last, SIZES)
    assert [each.count for each in found] == expected
    covered = [(each.after, each.to) for each in found]
    assert covered[0][0] == 0 and covered[-1][1] == sum((*known, new))


def test_many_small_additions_need_few_files_and_write_each_vector_a_few_times():
    files, written, total = [], 0, 0
    for _ in range(1_000):
        files = merged(files, IndexRange("image", total, total + 25, 25), SIZES)
        total += 25
        written += files[-1].count
        assert len(files) <= 9
        assert sum(each.count for each in files) == total
    assert written < 12 * total


def grow(writer, insert, *counts, method=None):
    """Insert images in several steps, each followed by a build; return the space."""
    for seed, count in enumerate(counts):
        insert(unit_vectors(count, seed=100 + seed))
        build_if_due(writer, method if seed == 0 else None, sizes=SIZES)
    return active_space(writer.catalog)


def covered(space):
    return [(file.indexed_after, file.indexed_to, file.count) for file in space.indexes]


def delete(writer, ids):
    with writer.db.atomic():
        for id_ in ids:
            writer.db.execute(f"DELETE FROM {vectors_table(writer.space_id)} WHERE segment = ?", (id_,))
            writer.db.execute("DELETE FROM segments WHERE id = ?", (id_,))


def test_many_new_vectors_get_a_file_and_the_others_are_kept(writer, insert):
    (base,) = grow(writer, insert, 1_000).indexes
    inode = (writer.folder / INDEX_FOLDER / base.file).stat().st_ino
    space = grow(writer, insert, 21)
    assert covered(space) == [(0, 1_000, 1_000), (1_000, 1_021, 21)]
    assert space.indexes[0] == base and space.indexed_to == 1_021
    assert (writer.folder / INDEX_FOLDER / base.file).stat().st_ino == inode


def test_few_new_vectors_get_no_file(writer, insert):
    before = grow(writer, insert, 1_000)
    assert grow(writer, insert, 20) == before


def test_small_file_is_exact_beside_a_graph(writer, insert):
    space = grow(writer, insert, 1_000, 50, 130, method="hnsw")
    assert [(file.count, file.method) for file in space.indexes] == [(1_000, "hnsw"), (180, "hnsw")]
    space = grow(writer, insert, 50)
    assert [(file.count, file.method) for file in space.indexes][2:] == [(50, "flat")]
    assert build_if_due(writer, sizes=SIZES) == space


def test_file_with_a_tenth_deleted_is_written_again_alone(writer, insert):
    before = grow(writer, insert, 1_000, 100)
    delete(writer, range(1_001, 1_010))
    assert build_if_due(writer, sizes=SIZES) == before
    delete(writer, range(1_010, 1_012))
    after = build_if_due(writer, sizes=SIZES)
    assert after.indexes[0] == before.indexes[0]
    assert covered(after)[1] == (1_000, 1_100, 89)
    delete(writer, range(1_000, 1_101))
    assert build_if_due(writer, sizes=SIZES).indexes == before.indexes[:1]


def test_damaged_file_is_written_again_alone_and_searched_exactly_meanwhile(writer, insert):
    before = grow(writer, insert, 1_000, 100)
    query = unit_vectors(1, seed=9)
    expected = SpaceIndex(writer.catalog, before).search(query, "image", 50)
    (writer.folder / INDEX_FOLDER / before.indexes[1].file).write_bytes(b"damaged")
    index = SpaceIndex(writer.catalog, before)
    assert len(index.indexes["image"]) == 1 and len(index.unindexed("image")) == 100
    for found, wanted in zip(index.search(query, "image", 50), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    after = build_if_due(writer, sizes=SIZES)
    assert after.indexes[0] == before.indexes[0]
    assert after.indexes[1].digest == before.indexes[1].digest
    assert SpaceIndex(writer.catalog, after).damage is None


def test_vectors_that_are_inserted_among_older_ones_are_found_and_indexed_by_the_next_build(tmp_path):
    vectors = unit_vectors(400)
    late = list(range(300, 330))  # segments that get their vector last
    with LibraryWriter(tmp_path / "library", lambda _: drawn_embedder(DIM)) as writer:
        insert_vectors(writer, range(1, 201), vectors)
        build_if_due(writer, sizes=SIZES)
        insert_vectors(writer, range(201, 401), vectors)
        with writer.db.atomic():
            writer.db.execute(
                f"DELETE FROM {vectors_table(writer.space_id)} WHERE segment BETWEEN 300 AND 329"
            )
            writer.db.execute("UPDATE spaces SET complete = 0")
        before = build_if_due(writer, sizes=FileSizes(20, 0, 0, 0))
        assert covered(before) == [(0, 200, 200), (200, 400, 170)]
        writer.spaces.write_vectors(before, late, vectors[299:329])
        space = active_space(writer.catalog)
        assert space.indexed_to == 299
        index = SpaceIndex(writer.catalog, space)
        assert index.unindexed("image").ids.tolist() == late  # not those in files that reach further
        insert_vectors(writer, range(401, 411), np.concatenate([vectors, unit_vectors(10, seed=5)]))
        newer = SpaceIndex(writer.catalog, active_space(writer.catalog), index)
        assert newer.unindexed("image").ids.tolist() == [*late, *range(401, 411)]
        for id_ in late:
            query = vectors[id_ - 1 : id_]
            assert SpaceIndex(writer.catalog, space).search(query, "image", 1)[1].tolist() == [id_]
        after = build_if_due(writer, sizes=FileSizes(20, 0, 0, 0))
        assert covered(after) == [(0, 200, 200), (200, 299, 99), (299, 410, 111)]
        assert after.indexes[0] == before.indexes[0]


def test_vectors_that_are_inserted_among_unindexed_ones_are_read_and_the_others_kept(tmp_path, monkeypatch):
    vectors = unit_vectors(60)
    with LibraryWriter(tmp_path / "library", lambda _: drawn_embedder(DIM)) as writer:
        insert_vectors(writer, range(1, 61), vectors)
        with writer.db.atomic():
            writer.db.execute(f"DELETE FROM {vectors_table(writer.space_id)} WHERE segment IN (20, 40)")
            writer.db.execute("UPDATE spaces SET complete = 0")
        space = active_space(writer.catalog)
        index, read = SpaceIndex(writer.catalog, space), []
        assert len(index.unindexed("image")) == 58
        writer.spaces.write_vectors(space, [20, 40], vectors[[19, 39]])
        vectors_of = Catalog.vectors_of
        monkeypatch.setattr(
            Catalog, "vectors_of", lambda self, space, ids: read.extend(ids) or vectors_of(self, space, ids)
        )
        newer = SpaceIndex(writer.catalog, active_space(writer.catalog), index).unindexed("image")
        assert newer.ids.tolist() == [*range(1, 61)] and read == [20, 40]
        np.testing.assert_allclose(newer.vectors, vectors, atol=1e-3)


def test_long_run_writes_index_files_after_many_new_segments(writer, insert, monkeypatch):
    monkeypatch.setattr(build_index, "REBUILD_AFTER_VECTORS", 100)
    build = PeriodicBuild(writer)
    insert(unit_vectors(300))
    build.update(300)
    assert covered(active_space(writer.catalog)) == [(0, 300, 300)]
    insert(unit_vectors(100, seed=1))
    build.update(400)
    assert covered(active_space(writer.catalog)) == [(0, 300, 300)]
    insert(unit_vectors(1, seed=2))
    build.update(401)
    assert covered(active_space(writer.catalog)) == [(0, 401, 401)]


def test_complete_build_writes_one_file_and_keeps_it_if_nothing_changed(writer, insert):
    space = grow(writer, insert, 300, 50, 50)
    assert len(space.indexes) == 2
    built = build_indexes(writer, space)
    assert covered(built) == [(0, 400, 400)]
    assert build_indexes(writer, built) == built
    delete(writer, [7])
    built = build_indexes(writer, built)
    assert covered(built) == [(0, 400, 399)]
    delete(writer, [8])
    insert(unit_vectors(1, seed=7))
    assert covered(build_indexes(writer, built)) == [(0, 401, 399)]


def test_killed_build_of_a_new_file_keeps_the_old_files_and_leaves_none(writer, insert, monkeypatch):
    before = grow(writer, insert, 200)
    insert(unit_vectors(50, seed=2))

    def fail(self, space):
        raise RuntimeError("killed")

    with monkeypatch.context() as context, pytest.raises(RuntimeError):
        context.setattr("indexer.store.spaces.Spaces.set_indexes", fail)
        build_if_due(writer, sizes=SIZES)
    assert active_space(writer.catalog) == before
    assert len(list((writer.folder / INDEX_FOLDER).iterdir())) == 2
    after = build_if_due(writer, sizes=SIZES)
    assert {path.name for path in (writer.folder / INDEX_FOLDER).iterdir()} == {
        file.file for file in after.indexes
    }


def test_reader_keeps_the_files_that_a_commit_did_not_change(writer, insert):
    first = SpaceIndex(writer.catalog, grow(writer, insert, 1_000, 100))
    insert(unit_vectors(15, seed=3))
    tail = SpaceIndex(writer.catalog, active_space(writer.catalog), first)
    assert tail.unindexed("image").ids.tolist() == list(range(1_101, 1_116))
    insert(unit_vectors(15, seed=4))
    space = build_if_due(writer, sizes=SIZES)
    assert covered(space)[1:] == [(1_000, 1_100, 100), (1_100, 1_130, 30)]
    second = SpaceIndex(writer.catalog, space, tail)
    assert [index for _, index in second.indexes["image"]][:2] == [
        index for _, index in first.indexes["image"]
    ]
    assert len(second.indexes["image"]) == 3 and len(second.unindexed("image")) == 0
    insert(unit_vectors(5, seed=5))
    third = SpaceIndex(writer.catalog, active_space(writer.catalog), second)
    assert third.unindexed("image").ids.tolist() == list(range(1_131, 1_136))


def test_reader_keeps_of_the_vectors_it_has_read_those_that_got_no_file(writer, insert):
    first = SpaceIndex(writer.catalog, grow(writer, insert, 1_000))
    insert(unit_vectors(30, seed=3))
    space = build_if_due(writer, sizes=SIZES)
    insert(unit_vectors(5, seed=4))
    assert first.unindexed("image").ids.tolist() == list(range(1_001, 1_036))  # as of now
    second = SpaceIndex(writer.catalog, space, first)
    assert second.unindexed("image").ids.tolist() == list(range(1_031, 1_036))
    np.testing.assert_array_equal(second.unindexed("image").vectors, unit_vectors(5, seed=4))


def test_space_with_another_tuning_keeps_the_open_files(writer, insert):
    space = grow(writer, insert, 100)
    first = SpaceIndex(writer.catalog, space)
    (file,) = space.indexes
    changed = replace(space, indexes=(replace(file, tunings=()),))
    second = SpaceIndex(writer.catalog, changed, first)
    assert second.indexes["image"][0] == (changed.indexes[0], first.indexes["image"][0][1])


@pytest.mark.parametrize(
    ("configured", "count", "total", "method"),
    [
        (None, 1_000, 1_000, "flat"),
        (None, 300_000, 300_000, "hnsw"),
        (None, 20_000, 300_000, "flat"),
        (None, 20_001, 300_000, "hnsw"),
        (None, 10_000_000, 10_100_000, "ivf"),
        (None, 100_000, 10_100_000, "hnsw"),
        ("ivf", 100_000, 10_100_000, "ivf"),
        ("ivf", 300, 300, "ivf"),
        ("ivf", 300, 700, "flat"),
        ("flat", 300_000, 300_000, "flat"),
    ],
)
def test_method_depends_on_the_size_of_the_file_and_of_its_kind(writer, configured, count, total, method):
    planner = IndexPlanner(writer.catalog, active_space(writer.catalog), configured)
    assert planner.method_of(count, total) == method


@pytest.fixture
def two_files(tmp_path):
    """Return the folder of a closed library whose images are in two index files, and some in none."""
    folder, vectors = tmp_path / "library", unit_vectors(365)
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        for first, last in ((1, 300), (301, 360), (361, 365)):
            insert_vectors(writer, range(first, last + 1), vectors)
            space = build_if_due(writer, sizes=SIZES)
    assert covered(space) == [(0, 300, 300), (300, 360, 60)]
    return folder


def answers(folder):
    """Return the ids and scores of the best images for a query, and the damage that was found."""
    catalog = Catalog.open(folder)
    index = SpaceIndex(catalog, catalog.space())
    scores, ids = index.search(unit_vectors(1, seed=9), "image", 20)
    catalog.close()
    return ids.tolist(), scores.tolist(), index.damage


def test_file_of_an_earlier_version_becomes_the_first_of_several(tmp_path):
    folder = tmp_path / "library"
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        insert_vectors(writer, range(1, 301), unit_vectors(400))
        (file,) = build_if_due(writer).indexes
    inode = (folder / INDEX_FOLDER / file.file).stat().st_ino
    downgrade_catalog(folder, "32-index-times")
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        (migrated,) = active_space(writer.catalog).indexes
        assert migrated == replace(file, tunings=())
        insert_vectors(writer, range(301, 401), unit_vectors(400))
        space = build_if_due(writer, sizes=SIZES)
        assert covered(space) == [(0, 300, 300), (300, 400, 100)]
    assert (folder / INDEX_FOLDER / file.file).stat().st_ino == inode


def test_backup_has_all_files_of_a_kind(two_files, tmp_path):
    backup = backup_library(tmp_path / "backup.tar", library=two_files)
    restore_library(backup.file, library=tmp_path / "restored")
    assert answers(tmp_path / "restored") == answers(two_files)
    names = [
        {path.name for path in (folder / INDEX_FOLDER).iterdir()}
        for folder in (two_files, tmp_path / "restored")
    ]
    assert names[0] == names[1] and len(names[0]) == 2


def test_repair_writes_only_the_damaged_file_of_a_kind(two_files):
    before = answers(two_files)
    first, second = sorted((two_files / INDEX_FOLDER).iterdir(), key=lambda path: path.stat().st_size)
    inodes, data, status = (first.stat().st_ino, second.stat().st_ino), first.read_bytes(), first.stat()
    first.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    os.utime(first, ns=(status.st_mtime_ns, status.st_mtime_ns))
    (error,) = verify_library(two_files).errors
    assert first.name in error
    (repaired,) = verify_library(two_files, repair=True).repaired
    assert first.name in repaired
    assert first.read_bytes() == data
    assert first.stat().st_ino != inodes[0] and second.stat().st_ino == inodes[1]
    assert answers(two_files) == before
