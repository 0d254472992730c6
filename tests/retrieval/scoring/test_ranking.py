"""Tests of rank arithmetic against results calculated by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.scoring.ranking import (
    average_ranks,
    diversify,
    recall,
    reciprocal_rank_fusion,
    standardize,
    top_k,
)
from retrieval.search.hybrid_search import KeywordHit, fuse_hits
from retrieval.types import Hit


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
    assert diversify(scores, vectors, 0.5, 2).tolist() == [1, 3]
    # Weight 0.2: row 0 0.72 - 0.2, row 2 0.64 - 0.12, row 3 0.56; then row 2 0.64 - 0.16, row 0 0.52.
    assert diversify(scores, vectors, 0.2).tolist() == [1, 3, 0, 2]
    assert diversify(scores, vectors, 0.0).tolist() == [1, 0, 2, 3]
    assert diversify(scores, vectors, 1.0).tolist()[:2] == [1, 3]


def test_diversify_accepts_no_rows_and_equal_rows():
    no_vectors = np.empty((0, 3), np.float32)
    assert diversify(np.empty(0, np.float32), no_vectors, 0.5, 4).tolist() == []
    equal_vectors = np.tile(np.array([[1, 0]], np.float32), (3, 1))
    assert diversify(np.ones(3, np.float32), equal_vectors, 0.7, 9).tolist() == [0, 1, 2]


def test_reciprocal_rank_fusion_sums_weighted_reciprocals():
    first, second = {"a": 1, "b": 2, "c": 3}, {"c": 1, "d": 2}
    assert reciprocal_rank_fusion([first, second], [1, 1]) == pytest.approx(
        {"c": 1 / 63 + 1 / 61, "a": 1 / 61, "b": 1 / 62, "d": 1 / 62}
    )
    assert list(reciprocal_rank_fusion([first, second], [1, 1])) == [
        "c",
        "a",
        "b",
        "d",
    ]  # ties keep the input order
    assert list(reciprocal_rank_fusion([first, second], [1, 0.1])) == ["c", "a", "b", "d"]
    assert list(reciprocal_rank_fusion([first, second], [1, 0])) == ["a", "b", "c", "d"]
    assert list(reciprocal_rank_fusion([first, second], [1, 3])) == ["c", "d", "a", "b"]
    assert reciprocal_rank_fusion([first, second], [1, {"c": 0, "d": 9}], k=1) == pytest.approx(
        {"d": 3, "a": 1 / 2, "b": 1 / 3, "c": 1 / 4}
    )
    assert reciprocal_rank_fusion([], []) == {}


def test_average_ranks_gives_ties_their_mean_rank():
    assert average_ranks("abcdef", [9, 7, 7, 7, 1, 1]) == {"a": 1, "b": 3, "c": 3, "d": 3, "e": 5.5, "f": 5.5}
    assert average_ranks("", []) == {}


def hit(id_, path=None, score=0.5):
    return Hit(id=id_, score=score, kind="image", path=Path(path or f"/{id_}.png"), space="toy")


def test_fusion_raises_hits_by_their_share_of_matched_words():
    meaning = [hit(n) for n in range(1, 10)]
    assert [h.id for h in fuse_hits(meaning, [])] == list(range(1, 10))
    assert next(h.id for h in fuse_hits(meaning, [KeywordHit(hit(9), 5.0, 10.0)])) == 9
    assert next(h.id for h in fuse_hits(meaning, [KeywordHit(hit(9), 5.0, 1.0)])) == 9  # 1 / 14 + 1 / 6
    assert [h.id for h in fuse_hits(meaning, [KeywordHit(hit(9), 5.0, 0.2)])] == [1, 2, 3, 4, 9, 5, 6, 7, 8]
    assert [h.id for h in fuse_hits([], [KeywordHit(hit(7), 5.0, 1.0), KeywordHit(hit(8), 4.0, 1.0)])] == [
        7,
        8,
    ]


def test_fusion_keeps_the_order_by_meaning_for_equal_keyword_scores():
    meaning = [hit(n) for n in (5, 3, 8, 1)]
    equal_matches = [KeywordHit(hit(n), 2.0, 1.0) for n in (1, 3, 5, 8)]
    assert [h.id for h in fuse_hits(meaning, equal_matches)] == [5, 3, 8, 1]


def test_fusion_merges_an_image_and_its_caption():
    caption = Hit(id=2, score=0.9, kind="text", path=Path("/1.png"), space="toy")
    hits = fuse_hits([hit(1), hit(3)], [KeywordHit(caption, 5.0, 1.0)])
    assert [(h.id, h.score) for h in hits] == [(1, 0.5), (3, 0.5)]
    assert [h.id for h in fuse_hits([hit(3), hit(1)], [KeywordHit(caption, 5.0, 1.0)])] == [1, 3]
