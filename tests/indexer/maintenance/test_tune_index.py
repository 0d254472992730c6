"""Tests of the search effort that index files are tuned to, on vectors with a gap between modalities."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from indexer.maintenance.build_index import build_if_due, build_indexes, tune_indexes
from indexer.maintenance.tune_index import (
    CANDIDATES,
    FIRST_QUERIES_SHARE,
    RECALL_AT,
    TUNING_QUERIES,
    GroundTruth,
    IndexTuner,
    shifted,
    tuning_queries,
)
from indexer.operations.tune import tune_library
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import INDEX_FOLDER
from retrieval.errors import LibraryError
from retrieval.scoring.metrics import wilson_lower_bound
from retrieval.scoring.ranking import query_recalls, recall
from retrieval.types import TUNED_MODES
from retrieval.vectors import hnsw
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex
from retrieval.vectors.space_index import SpaceIndex, open_index
from tests.indexer.maintenance.conftest import DIM, unit_vectors
from tests.support.gap_vectors import GapVectors
from tests.support.vector_library import drawn_embedder, insert_vectors

COUNT, TARGET = 3_000, 0.99
GAP = GapVectors(DIM, clusters=60)
IMAGES = GAP.pairs(COUNT, seed=1)[0].astype(np.float16).astype(np.float32)
TEXTS = GAP.pairs(300, seed=2)[1].astype(np.float16).astype(np.float32)


def save_background(writer, texts):
    row = {"space": writer.space_id, "query_mode": "words", "version": "1"}
    row["vectors"] = texts.astype(np.float16).tobytes()
    with writer.db.atomic():
        writer.db.table("backgrounds").upsert(row, pk=("space", "query_mode"))


def save_target(writer, target_recall):
    writer.save_settings(replace(writer.settings(), target_recall=target_recall))


def tunings_of(space):
    (file,) = space.indexes
    return {tuning.query_mode: tuning for tuning in file.tunings}


@pytest.fixture(scope="module")
def built_graph(tmp_path_factory):
    """Return a library of images with a graph that is tuned to a recall of 0.99."""
    folder = tmp_path_factory.mktemp("graph") / "library"
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        insert_vectors(writer, range(1, COUNT + 1), IMAGES)
        save_background(writer, TEXTS)
        save_target(writer, TARGET)
        build_if_due(writer, "hnsw")
    return folder


@pytest.fixture
def graph(built_graph, tmp_path):
    """Open a copy of the library for writing."""
    folder = shutil.copytree(built_graph, tmp_path / "graph")
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        yield writer


def exact_recall(writer, queries, effort):
    """Return the recall of the candidates of an index, ordered by their vectors, in exact search."""
    return float(exact_recalls(writer, queries, effort).mean())


def exact_recalls(writer, queries, effort):
    """Return the same for each query."""
    space = active_space(writer.catalog)
    index = open_index(writer.folder, space.indexes[0])
    found = []
    for query, ids in zip(queries, index.search(queries, CANDIDATES, None, effort)[1], strict=True):
        found.append(-np.sort(-(IMAGES[ids[ids >= 0] - 1] @ query))[:RECALL_AT])
    truth = ExactIndex(np.arange(1, COUNT + 1), IMAGES).search(queries, RECALL_AT)[0]
    return query_recalls(np.array(found, np.float32), truth)


def test_ground_truth_equals_exact_search_over_all_chunks():
    vectors, queries = unit_vectors(500), unit_vectors(7, seed=2)
    truth = GroundTruth(queries)
    for at in range(0, 500, 90):
        truth.update(vectors[at : at + 90])
    exact = -np.sort(-(queries @ vectors.T), axis=1)[:, :RECALL_AT]
    np.testing.assert_allclose(truth.scores, exact, atol=1e-6)


def test_words_need_more_effort_than_images(graph):
    tunings = tunings_of(active_space(graph.catalog))
    assert set(tunings) == set(TUNED_MODES)
    assert tunings["words"].effort > tunings["picture"].effort


@pytest.mark.parametrize("mode", TUNED_MODES)
def test_chosen_effort_is_the_least_with_a_lower_bound_at_the_target_by_exact_comparison(graph, mode):
    space = active_space(graph.catalog)
    rng = np.random.default_rng(0)
    queries = tuning_queries(graph.catalog, space, "image", rng)[mode]
    tuning = tunings_of(space)[mode]
    efforts = open_index(graph.folder, space.indexes[0]).search_efforts
    recalls = [exact_recalls(graph, queries, effort) for effort in efforts if effort <= tuning.effort]
    bounds = [wilson_lower_bound(each) for each in recalls]
    assert bounds[-1] >= TARGET > max(bounds[:-1], default=0)
    assert tuning.recall == pytest.approx(recalls[-1].mean(), abs=1e-3)


def tune(graph, texts, target):
    """Return the tuning of the graph for texts."""
    space = active_space(graph.catalog)
    tuner = IndexTuner(graph.catalog, space, "image", "hnsw", IMAGES)
    tuner.truths = {"words": GroundTruth(texts)}
    tuner.truths["words"].update(IMAGES)
    (tuning,) = tuner.tunings(open_index(graph.folder, space.indexes[0]), target)
    return tuning


def test_effort_without_a_bound_at_the_target_is_the_least_of_the_greatest_recall(graph):
    texts, efforts = (
        TEXTS[:100],
        open_index(graph.folder, active_space(graph.catalog).indexes[0]).search_efforts,
    )
    recalls = [exact_recall(graph, texts, effort) for effort in efforts]
    assert tune(graph, texts, 1.0).effort == efforts[int(np.argmax(recalls))] < efforts[-1]


def test_target_that_no_effort_reaches_takes_the_least_of_equal_recall(graph, monkeypatch):
    recalls = np.ones(TUNING_QUERIES)
    recalls[0] = 0  # of a query that no effort finds
    monkeypatch.setattr(
        IndexTuner, "_recalls", lambda self, index, truth, effort, at=slice(None): recalls[at]
    )
    assert tune(graph, TEXTS[:100], 0.999).effort == min(hnsw.SEARCH_EFFORTS)


def test_effort_that_is_far_too_small_is_tried_with_few_queries(graph, monkeypatch):
    texts, tried, search = GAP.pairs(TUNING_QUERIES, seed=12)[1], {}, FaissIndex.search

    def record(self, queries, count, allowed=None, effort=None):
        tried[effort] = tried.get(effort, 0) + len(queries)
        return search(self, queries, count, allowed, effort)

    monkeypatch.setattr(FaissIndex, "search", record)
    tuning = tune(graph, texts, 0.995)
    assert tried[min(tried)] == FIRST_QUERIES_SHARE * TUNING_QUERIES
    assert tried[tuning.effort] >= TUNING_QUERIES


def test_words_that_tuning_has_not_seen_reach_the_target(graph):
    unseen = GAP.pairs(2_000, seed=3)[1]
    target = exact_recall(graph, unseen, 32) + 0.0005
    for seed in range(12, 17):  # three of these samples have more at this effort
        tuning = tune(graph, GAP.pairs(TUNING_QUERIES, seed)[1], target)
        assert exact_recall(graph, unseen, tuning.effort) >= target


def test_lower_target_gives_a_smaller_effort_and_the_same_file(graph):
    before = active_space(graph.catalog)
    save_target(graph, 0.9)
    after = tune_indexes(graph, before)
    assert tunings_of(after)["words"].effort < tunings_of(before)["words"].effort
    assert tunings_of(after)["words"].recall < tunings_of(before)["words"].recall
    assert (after.indexes[0].file, after) == (before.indexes[0].file, active_space(graph.catalog))


def test_later_build_uses_the_saved_target(graph):
    before = tunings_of(active_space(graph.catalog))
    save_target(graph, 0.9)
    build_if_due(graph, "flat")
    build_if_due(graph, "hnsw")
    assert tunings_of(active_space(graph.catalog))["words"].effort < before["words"].effort


def test_tune_library_saves_its_target_and_the_efforts(built_graph, tmp_path):
    folder = shutil.copytree(built_graph, tmp_path / "graph")
    before = {tuning.query_mode: tuning.effort for tuning in tune_library(folder)[0].tunings}
    (file,) = tune_library(folder, target_recall=0.9)
    assert file.tunings[0].effort < before["words"]
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        assert active_space(writer.catalog).indexes == (file,)
        assert writer.settings().target_recall == 0.9
    assert [tuning.effort for tuning in tune_library(folder)[0].tunings] == [
        tuning.effort for tuning in file.tunings
    ]


@pytest.mark.parametrize("target", [0.0, 1.01])
def test_impossible_target_is_refused(built_graph, target):
    with pytest.raises(LibraryError, match="recall"):
        tune_library(built_graph, target_recall=target)


def test_exact_index_has_recall_1_and_times(writer, insert):
    insert(unit_vectors(50))
    save_background(writer, unit_vectors(20, seed=2))
    for tuning in tunings_of(build_if_due(writer)).values():
        assert tuning.recall == 1.0
        assert 0 < tuning.p50_ms <= tuning.p95_ms


def test_search_uses_the_effort_of_its_query_mode(graph):
    space = active_space(graph.catalog)
    (file,) = space.indexes
    words, picture = (
        replace(tunings_of(space)[mode], effort=effort)
        for mode, effort in (("words", 2_048), ("picture", 32))
    )
    index = SpaceIndex(graph.catalog, replace(space, indexes=(replace(file, tunings=(words, picture)),)))
    truth = ExactIndex(np.arange(1, COUNT + 1), IMAGES)
    queries = GAP.pairs(300, seed=3)[1]
    found = {
        mode: recall(
            np.concatenate([index.search(query[None], "image", 10, mode=mode)[0][None] for query in queries]),
            truth.search(queries, 10)[0],
        )
        for mode in ("words", "sum", "mixed", "picture")
    }
    assert (
        found["words"] == found["sum"] == found["mixed"] == pytest.approx(exact_recall(graph, queries, 2_048))
    )
    assert found["picture"] == pytest.approx(exact_recall(graph, queries, 32))
    assert found["picture"] < found["words"] > 0.9995


def test_file_without_tunings_is_searched_with_its_own_effort_and_tuned_by_the_next_build(graph):
    space = active_space(graph.catalog)
    tunings = tunings_of(space)
    with graph.db.atomic():
        graph.db.execute("DELETE FROM index_tunings")
        graph.db.execute("UPDATE indexes SET effort = 32")
    old = active_space(graph.catalog)
    assert old.indexes[0].tunings == ()
    index = SpaceIndex(graph.catalog, old)
    queries = GAP.pairs(100, seed=3)[1]
    low = [index.search(query[None], "image", 10, mode="words")[1].tolist() for query in queries]
    bare = open_index(graph.folder, old.indexes[0])
    found = [bare.search(query[None], 40, None, 32)[1][0] for query in queries]
    for query, ids, candidates in zip(queries, low, found, strict=True):
        best = candidates[np.argsort(-(IMAGES[candidates - 1] @ query), kind="stable")][:10]
        assert ids == best.tolist()
    new = tunings_of(build_if_due(graph))
    assert {mode: tuning.effort for mode, tuning in new.items()} == {
        mode: tuning.effort for mode, tuning in tunings.items()
    }


def test_index_that_was_built_before_the_calibration_is_tuned_for_words_after_it(writer, insert):
    insert(IMAGES[:500])
    first = build_if_due(writer, "hnsw")
    assert set(tunings_of(first)) == {"picture"}
    assert build_if_due(writer) == first
    save_background(writer, TEXTS)
    assert set(tunings_of(build_if_due(writer))) == set(TUNED_MODES)


def test_captions_are_queries_by_words_for_images(writer, insert):
    insert(IMAGES[:50])
    captions = GAP.pairs(30, seed=5)[1].astype(np.float16).astype(np.float32)
    insert(captions, kind="text")
    save_background(writer, TEXTS)
    space = active_space(writer.catalog)
    words = tuning_queries(writer.catalog, space, "image", np.random.default_rng(0))["words"]
    rows = {row.tobytes() for row in words}
    assert rows >= {row.tobytes() for row in captions}
    assert len(words) == 30 + 300 + 50  # images moved to the mean of the texts


def test_few_texts_are_completed_by_images_moved_to_the_mean_of_the_texts(writer, insert):
    insert(IMAGES[:1_000])
    save_background(writer, TEXTS[:60])
    space = active_space(writer.catalog)
    words = tuning_queries(writer.catalog, space, "image", np.random.default_rng(0))["words"]
    assert len(words) == TUNING_QUERIES
    added = words[60:]
    assert np.mean(added @ TEXTS.T) > 0.4 > np.mean(IMAGES[:1_000] @ TEXTS.T)


def test_few_images_are_completed_by_texts_moved_to_their_mean(writer, insert):
    insert(IMAGES[:20])
    insert(np.concatenate([TEXTS, GAP.pairs(400, seed=5)[1]]), kind="text")
    space = active_space(writer.catalog)
    pictures = tuning_queries(writer.catalog, space, "text", np.random.default_rng(0))["picture"]
    assert len(pictures) == TUNING_QUERIES
    assert np.mean(pictures[20:] @ IMAGES.T) > 0.4 > np.mean(TEXTS @ IMAGES.T)


def test_shifted_vectors_have_the_mean_direction_of_the_others():
    moved = shifted(IMAGES[:300], TEXTS)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)
    mean, wanted = moved.mean(axis=0), TEXTS.mean(axis=0)
    assert mean @ wanted / np.linalg.norm(mean) / np.linalg.norm(wanted) > 0.99


def test_deleted_index_has_no_tunings_left(graph):
    build_indexes(graph, active_space(graph.catalog), "flat")
    files = [row[0] for row in graph.db.execute("SELECT DISTINCT file FROM index_tunings").fetchall()]
    assert files == [path.name for path in (graph.folder / INDEX_FOLDER).iterdir()]
