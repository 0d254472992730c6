"""Tests of when background queries and calibrations are updated."""

import numpy as np
import pytest

from indexer.maintenance.calibrate import (
    MAX_COUNT_RATIO,
    MIN_QUERY_IMAGES,
    BestScores,
    calibrate_if_due,
)
from indexer.store.spaces import active_space
from retrieval.scoring.calibration import TOP_N
from tests.indexer.maintenance.conftest import DIM, unit_vectors

TEXT_MODES, IMAGE_MODES = {"words", "sum", "difference"}, {"picture", "mixed"}


@pytest.fixture
def calibrate(writer, embedder):
    """Calibrate the active space; returns its calibrations by query mode and kind."""

    def calibrate_():
        space = active_space(writer.catalog)
        calibrate_if_due(writer, space, embedder)
        return writer.catalog.calibrations(space)

    return calibrate_


@pytest.fixture
def stored(writer):
    """Return query mode -> version and number of background queries."""

    def stored_():
        rows = writer.db.execute("SELECT query_mode, version, length(vectors) FROM backgrounds")
        return {mode: (version, size // (2 * DIM)) for mode, version, size in rows}

    return stored_


def test_text_queries_need_no_images(insert, calibrate, stored):
    insert(unit_vectors(50), kind="text")
    assert {mode for mode, _ in calibrate()} == TEXT_MODES
    assert set(stored()) == TEXT_MODES | {"noise"}


def test_image_queries_need_a_minimum_of_images(insert, calibrate, stored):
    insert(unit_vectors(MIN_QUERY_IMAGES - 1))
    calibrate()
    assert set(stored()) == TEXT_MODES | {"noise"}
    insert(unit_vectors(1, seed=2))
    calibrate()
    assert set(stored()) == TEXT_MODES | IMAGE_MODES | {"noise"}
    assert stored()["picture"][1] == MIN_QUERY_IMAGES


def test_every_kind_is_calibrated_for_every_query_mode(insert, calibrate):
    insert(unit_vectors(40))
    insert(unit_vectors(30, seed=2), kind="text")
    expected = {(mode, kind) for mode in TEXT_MODES | IMAGE_MODES for kind in ("image", "text")}
    assert set(calibrate()) == expected


def test_calibration_changes_after_a_tenth_of_its_kind_has_changed(insert, calibrate, writer):
    insert(unit_vectors(100), kind="text")
    first = calibrate()
    insert(unit_vectors(10, seed=2), kind="text")
    assert calibrate() == first
    insert(unit_vectors(1, seed=3), kind="text")
    assert calibrate() != first
    assert {row[0] for row in writer.db.execute("SELECT count FROM calibrations")} == {111}


def test_image_queries_are_sampled_again_after_growth(insert, calibrate, stored):
    insert(unit_vectors(100))
    calibrate()
    first = stored()
    insert(unit_vectors(int(100 * MAX_COUNT_RATIO) - 100, seed=2))
    calibrate()
    assert stored() == first
    insert(unit_vectors(1, seed=3))
    calibrate()
    assert stored()["picture"][0] != first["picture"][0]
    assert stored()["words"] == first["words"]


def test_unchanged_library_writes_nothing(insert, calibrate, writer):
    insert(unit_vectors(60))
    calibrate()
    before = writer.db.conn.total_changes
    calibrate()
    assert writer.db.conn.total_changes == before


def test_best_scores_equal_the_sorted_cosines():
    queries, vectors = unit_vectors(5), unit_vectors(200, seed=2)
    best = BestScores(queries)
    best.update(vectors[:70])
    best.update(vectors[70:])
    exact = np.sort(queries @ vectors.T, axis=1)[:, -TOP_N:]
    np.testing.assert_allclose(np.sort(best.best[0], axis=1), exact, atol=1e-6)


def test_copies_of_queries_give_no_calibration():
    queries = unit_vectors(5)
    best = BestScores(queries[:1])
    best.update(queries[:1])
    assert best.fit() is None
    best.update(queries[1:])
    assert best.fit() is not None
