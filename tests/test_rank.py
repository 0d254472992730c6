"""Arithmetic of ranked lists, checked by eye and against the plain way."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.rank import diversify, recall, standardize, top


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(1, 12))
@settings(deadline=None)
def test_top_is_the_sorted_list_cut_short(values, count):
    scores = np.array([values], np.float32)
    ids = np.arange(len(values), dtype=np.int64)[::-1] * 3
    best, found = top(scores, ids, count)
    wanted = sorted(zip(values, ids, strict=True), key=lambda pair: (-pair[0], pair[1]))[:count]
    assert list(zip(best[0], found[0], strict=True))[: len(wanted)] == wanted
    assert (found[0, len(wanted) :] == -1).all()


def test_recall_counts_equals_as_found():
    truth = np.array([[0.9, 0.5, 0.5]], np.float32)
    assert recall(np.array([[0.9, 0.5, 0.5]], np.float32), truth) == 1
    assert recall(np.array([[0.9, 0.5, 0.1]], np.float32), truth) == 2 / 3
    assert recall(np.array([[0.9]], np.float32), truth) == 1 / 3


def test_recall_of_a_library_smaller_than_ten_counts_what_there_is():
    truth = np.array([[0.9, -np.inf, -np.inf]], np.float32)
    assert recall(np.array([[0.9, -np.inf, -np.inf]], np.float32), truth) == 1


def test_a_score_counts_by_how_far_it_stands_out():
    texts, pictures = np.linspace(0.4, 0.8, 500), np.linspace(0.1, 0.3, 500)
    both = np.concatenate([texts, pictures])
    text = standardize(np.array([0.7], np.float32), texts, both)
    picture = standardize(np.array([0.35], np.float32), pictures, both)
    assert picture[0] > text[0]


def test_one_caption_alone_is_compared_with_everything():
    prior = np.linspace(0.2, 0.5, 100)
    scores = standardize(np.array([0.9], np.float32), np.array([0.9], np.float32), prior)
    assert scores[0] > 2


def test_diversity_is_maximal_marginal_relevance_worked_out_by_hand():
    scores = np.array([0.9, 1.0, 0.8, 0.7], np.float32)
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1]], np.float32)
    # After row 1, at weight 0.5: row 0 is worth 0.45 - 0.5, row 2 0.4 - 0.3, row 3 0.35 - 0.0. After
    # row 3 too, row 2 is worth 0.4 - 0.4, the nearer of the two counting, and row 0 still -0.05.
    assert diversify(scores, vectors, 0.5).tolist() == [1, 3, 2, 0]
    assert diversify(scores, vectors, 0.5, 2).tolist() == [1, 3]
    # At 0.2: row 0 0.72 - 0.2, row 2 0.64 - 0.12, row 3 0.56; then row 2 0.64 - 0.16, row 0 0.52.
    assert diversify(scores, vectors, 0.2).tolist() == [1, 3, 0, 2]
    assert diversify(scores, vectors, 0.0).tolist() == [1, 0, 2, 3]
    assert diversify(scores, vectors, 1.0).tolist()[:2] == [1, 3]


def test_diversity_of_nothing_and_of_equals():
    none = np.empty((0, 3), np.float32)
    assert diversify(np.empty(0, np.float32), none, 0.5, 4).tolist() == []
    same = np.tile(np.array([[1, 0]], np.float32), (3, 1))
    assert diversify(np.ones(3, np.float32), same, 0.7, 9).tolist() == [0, 1, 2]
