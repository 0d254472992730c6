"""Measures on tables small enough to check by eye."""

import numpy as np
import pytest

from retrieval.evaluate import Relevant, first_ranks, mean_reciprocal_rank, measure, ndcg_at, recall_at

SCORES = np.array([[0.9, 0.8, 0.1], [0.2, 0.3, 0.9], [0.5, 0.5, 0.1]], np.float32)
RELEVANT = np.array([[True, False, False], [True, True, False], [True, False, False]])


def test_ranks_are_of_the_best_relevant_item_and_ties_stand_in_the_middle():
    np.testing.assert_array_equal(first_ranks(SCORES, RELEVANT), [1, 2, 1.5])


def test_recall_and_mrr():
    ranks = np.array([1.0, 2.0, 4.0])
    assert recall_at(ranks, 1) == pytest.approx(1 / 3)
    assert recall_at(ranks, 2) == pytest.approx(2 / 3)
    assert mean_reciprocal_rank(ranks) == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)


def test_ndcg_of_a_perfect_and_of_a_late_answer():
    gains = ndcg_at(SCORES, RELEVANT, 10)
    ideal = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(gains[0], 1.0)
    np.testing.assert_allclose(gains[1], (1 / np.log2(3) + 1 / np.log2(4)) / ideal)


def test_ndcg_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(1)
    scores = draw.random((20, 40)).astype(np.float32)
    relevant = draw.random((20, 40)) < 0.2
    relevant[:, 0] = True
    theirs = [
        metrics.ndcg_score(r[None].astype(float), s[None], k=10)
        for r, s in zip(relevant, scores, strict=True)
    ]
    np.testing.assert_allclose(ndcg_at(scores, relevant, 10), theirs, atol=1e-9)


def test_measure_knows_a_perfect_and_a_useless_ranking():
    eye = np.eye(30, dtype=np.float32)
    owners = np.arange(30)
    perfect = measure(eye, eye, Relevant(owners, owners))
    assert perfect == {
        "recall@1": 100, "recall@5": 100, "recall@10": 100, "mrr": 1, "ndcg@10": 1, "median_rank": 1
    }  # fmt: skip
    useless = measure(eye, eye, Relevant(owners, np.roll(owners, 1)))
    assert useless["recall@1"] == 0
    assert useless["median_rank"] == pytest.approx(1 + 1 + 28 / 2)
