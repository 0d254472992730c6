"""Tests of the map of a space: similar segments stay near each other, and known ones where they are."""

import numpy as np
import pytest

from indexer.maintenance.map import build_map
from indexer.maintenance.map.build_map import build_map_if_due, sample_shares
from indexer.maintenance.map.cluster_names import name_clusters
from indexer.maintenance.map.neighbor_layout import exact_repulsion, interpolated_repulsion
from indexer.store.spaces import active_space
from retrieval.catalog.browse.library_map import read_map, stored_map
from tests.indexer.maintenance.conftest import DIM

GROUPS = 6


def grouped_vectors(count: int, seed: int = 1) -> np.ndarray:
    """Return unit vectors around six directions in turn."""
    rows = np.eye(DIM)[np.arange(count) % GROUPS]
    rows = rows + 0.05 * np.random.default_rng(seed).standard_normal((count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def build(writer):
    """Return a function that updates the map and returns it as it is stored."""

    def build_():
        space = active_space(writer.catalog)
        build_map_if_due(writer, space)
        return stored_map(writer.catalog, space)

    return build_


@pytest.fixture
def insert_files(writer, insert):
    """Return a function that inserts images, each with a file."""

    def insert_(vectors, kind="image"):
        ids = insert(vectors, kind)
        with writer.db.atomic():
            writer.db.execute(
                "INSERT OR IGNORE INTO roots (id, path, options, state) VALUES (1, x'2f', '{}', 'present')"
            )
            writer.db.conn.executemany(
                """INSERT INTO files (root, path, size, mtime, decoder, content, time, state)
                   VALUES (1, ?, 1, 1, 'picture', ?, '2020', 'present')""",
                [(f"{id_}.png".encode(), id_) for id_ in ids],
            )
        return ids

    return insert_


def test_empty_library_has_an_empty_map(build):
    assert len(build().segments) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 30])
def test_every_segment_of_a_small_library_has_a_position(build, insert_files, count):
    ids = insert_files(grouped_vectors(count))
    found = build()
    assert found.segments.tolist() == ids
    assert found.positions.shape == (count, 2)


@pytest.mark.parametrize("count", [300, 600])
def test_nearest_point_is_of_the_same_group(count, build, insert_files):
    insert_files(grouped_vectors(count))
    positions = build().positions.astype(float)
    distances = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.fill_diagonal(distances, np.inf)
    same = distances.argmin(axis=1) % GROUPS == np.arange(count) % GROUPS
    assert same.mean() > 0.95


def test_repulsion_is_that_of_all_pairs_and_interpolated_nearly_so():
    points = 5 * np.random.default_rng(0).standard_normal((1_000, 2))
    away = points[:, None] - points
    nearness = 1 / (1 + (away**2).sum(axis=2, keepdims=True))
    repulsion = (nearness**2 * away).sum(axis=1) / (nearness.sum() - len(points))
    assert np.allclose(exact_repulsion(points), repulsion, rtol=1e-9, atol=0)
    error = np.linalg.norm(interpolated_repulsion(points) - repulsion) / np.linalg.norm(repulsion)
    assert error < 0.1


def test_map_is_the_same_when_it_is_built_again(build, insert_files, writer):
    insert_files(grouped_vectors(100))
    first = build()
    writer.db.execute("DELETE FROM maps")
    assert np.array_equal(build().positions, first.positions)


def test_new_segments_are_placed_and_the_others_stay(build, insert_files):
    ids = insert_files(grouped_vectors(120))
    before = build()
    added = insert_files(grouped_vectors(12, seed=2))
    after = build()
    assert after.segments.tolist() == ids + added
    assert np.array_equal(after.positions[:120], before.positions)
    nearest = np.linalg.norm(after.positions[:120].astype(float) - after.positions[120], axis=1).argmin()
    assert nearest % GROUPS == 0


def test_layout_is_new_when_a_fifth_is_new(build, insert_files):
    insert_files(grouped_vectors(40))
    assert build().laid_out == 40
    insert_files(grouped_vectors(10))
    assert build().laid_out == 40
    insert_files(grouped_vectors(1))
    assert build().laid_out == 51


def test_large_library_is_sampled_and_stays_below_the_limit(build, insert_files, writer, monkeypatch):
    monkeypatch.setattr(build_map, "MAX_POINTS", 100)
    monkeypatch.setattr(build_map, "SAMPLE", 80)
    insert_files(grouped_vectors(400))
    found = build()
    assert 50 < len(found.segments) <= 100
    assert read_map(writer.catalog, active_space(writer.catalog)).is_sampled


def test_small_kinds_are_complete_in_a_sample():
    assert sample_shares({"text": 1_000, "image": 50}, 250) == {"image": 1.0, "text": 0.2}


def test_purged_and_gone_segments_are_not_read(build, insert_files, writer):
    ids = insert_files(grouped_vectors(20))
    build()
    writer.db.execute("UPDATE files SET state = 'gone' WHERE content = ?", (ids[0],))
    writer.db.execute("DELETE FROM files WHERE content = ?", (ids[1],))
    writer.db.execute("DELETE FROM contents WHERE id = ?", (ids[1],))
    assert read_map(writer.catalog, active_space(writer.catalog)).segments.tolist() == ids[2:]


def test_cluster_is_named_by_the_words_that_others_lack():
    clusters = np.repeat([0, 1], 10).astype(np.int8)
    words = [{"snow", "outside"}] * 10 + [{"beach", "outside"}] * 10
    assert name_clusters(clusters, [words]) == {0: "snow", 1: "beach"}


def test_clusters_without_words_of_their_own_have_no_name():
    clusters = np.repeat([0, 1], 10).astype(np.int8)
    assert name_clusters(clusters, [[{"outside"}] * 20]) == {}


def test_better_source_names_a_cluster():
    clusters = np.repeat([0, 1], 10).astype(np.int8)
    labels = [{"winter"}] * 10 + [set()] * 10
    words = [{"snow"}] * 10 + [{"beach"}] * 10
    assert name_clusters(clusters, [labels, words])[1] == "beach"


def test_plural_is_no_second_name():
    clusters = np.repeat([0, 1], 10).astype(np.int8)
    words = [{"model", "models"}] * 10 + [{"beach", "sand"}] * 10
    assert name_clusters(clusters, [words]) == {0: "model", 1: "beach, sand"}
