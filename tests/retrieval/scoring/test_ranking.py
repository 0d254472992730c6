"""Tests of rank arithmetic against results calculated by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.scoring.ranking import (
    diversify,
    recall,
    standardize,
    top_k,
)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(1, 12))
@settings(deadline=None)
def test_top_k_is_the_start_of_the_sorted_list(values, count):
    scores = np.array([values], np.float32)
    ids = np.arange(len(values), dtype=np.int64)[::-1] * 3
    best, found = top_k(scores, ids, count)
    expected = sorted(zip(values, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))[:count]
    assert list(zip(best[0], found[0], strict=True))[: len(expected)] == expected
    assert (found[0, len(expected) :] == -1).all()


def test_recall_counts_equal_scores_as_found():
    truth = np.array([[0.9, 0.5, 0.5]], np.float32)
    assert recall(np.array([[0.9, 0.5, 0.5]], np.float32), truth) == 1
    assert recall(np.array([[0.9, 0.5, 0.1]], np.float32), truth) == 2 / 3
    assert recall(np.array([[0.9]], np.float32), truth) == 1 / 3


def test_recall_ignores_the_padding_of_small_libraries():
    truth = np.array([[0.9, -np.inf, -np.inf]], np.float32)
    assert recall(np.array([[0.9, -np.inf, -np.inf]], np.float32), truth) == 1


def test_standardize_makes_scores_of_different_kinds_comparable():
    texts, images = np.linspace(0.4, 0.8, 500), np.linspace(0.1, 0.3, 500)
    both = np.concatenate([texts, images])
    text_score = standardize(np.array([0.7], np.float32), texts, both)
    image_score = standardize(np.array([0.35], np.float32), images, both)
    assert image_score[0] > text_score[0]


def test_standardize_uses_the_prior_for_a_single_score():
    prior = np.linspace(0.2, 0.5, 100)
    scores = standardize(np.array([0.9], np.float32), np.array([0.9], np.float32), prior)
    assert scores[0] > 2


def test_diversify_equals_maximal_marginal_relevance_by_hand():
    scores = np.array([0.9, 1.0, 0.8, 0.7], np.float32)
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1]], np.float32)
    # Weight 0.5, after row 1: row 0 scores 0.45 - 0.5, row 2 0.4 - 0.3, row 3 0.35 - 0.0. After row 3,
    # row 2 scores 0.4 - 0.4, because the nearest earlier row counts, and row 0 still -0.05.
    assert diversify(scores, vectors, 0.5).tolist() == [1, 3, 2, 0]
    # After a row [0, 1], row 3 scores 0.35 - 0.5, row 2 0.4 - 0.4, row 0 0.45, row 1 0.5.
    assert diversify(scores, vectors, 0.5, vectors[3:]).tolist() == [1, 2, 0, 3]
    # Weight 0.2: row 0 0.72 - 0.2, row 2 0.64 - 0.12, row 3 0.56; then row 2 0.64 - 0.16, row 0 0.52.
    assert diversify(scores, vectors, 0.2).tolist() == [1, 3, 0, 2]
    assert diversify(scores, vectors, 0.0).tolist() == [1, 0, 2, 3]
    assert diversify(scores, vectors, 1.0).tolist()[:2] == [1, 3]


def test_diversify_accepts_no_rows_and_equal_rows():
    no_vectors = np.empty((0, 3), np.float32)
    assert diversify(np.empty(0, np.float32), no_vectors, 0.5).tolist() == []
    equal_vectors = np.tile(np.array([[1, 0]], np.float32), (3, 1))
    assert diversify(np.ones(3, np.float32), equal_vectors, 0.7).tolist() == [0, 1, 2]
