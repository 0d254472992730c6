"""Tests of ranking metrics against small tables, all orders of tied scores, and scikit-learn."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics

from indexer.evaluation.measurement import Measurement, RelevanceByOwner, compare, measure
from retrieval.scoring.metrics import (
    Ranking,
    average_precision,
    bootstrap,
    first_relevant_rank,
    hit_rate_at,
    ndcg_at,
    precision_at,
    recall_at,
    reciprocal_rank,
    roc_auc,
    wilson_lower_bound,
)

SCORES = np.array([[0.9, 0.8, 0.1], [0.2, 0.3, 0.9], [0.5, 0.5, 0.1]], np.float32)
RELEVANT = np.array([[True, False, False], [True, True, False], [True, False, False]])
TABLE = Ranking.from_scores(SCORES, RELEVANT)
EXACT = {"rtol": 0, "atol": 1e-9}


def test_metrics_of_a_small_table():
    """Relevant ranks of the rows: 1; 2 and 3; 1 or 2, which are tied."""
    np.testing.assert_array_equal(TABLE.relevant_count, [1, 2, 1])
    np.testing.assert_allclose(first_relevant_rank(TABLE), [1, 2, 1.5], **EXACT)
    np.testing.assert_allclose(hit_rate_at(TABLE, 1), [1, 0, 1 / 2], **EXACT)
    np.testing.assert_allclose(hit_rate_at(TABLE, 2), [1, 1, 1], **EXACT)
    np.testing.assert_allclose(recall_at(TABLE, 2), [1, 1 / 2, 1], **EXACT)
    np.testing.assert_allclose(precision_at(TABLE, 2), [1 / 2, 1 / 2, 1 / 2], **EXACT)
    np.testing.assert_allclose(precision_at(TABLE, 10), [1 / 10, 2 / 10, 1 / 10], **EXACT)
    np.testing.assert_allclose(reciprocal_rank(TABLE), [1, 1 / 2, 3 / 4], **EXACT)
    np.testing.assert_allclose(average_precision(TABLE), [1, (1 / 2 + 2 / 3) / 2, 3 / 4], **EXACT)
    late, ideal = 1 / np.log2(3) + 1 / np.log2(4), 1 + 1 / np.log2(3)
    np.testing.assert_allclose(ndcg_at(TABLE, 10), [1, late / ideal, (1 + 1 / np.log2(3)) / 2], **EXACT)


def reference_metrics(order, k):
    """Calculate the metrics of one order of relevance flags, best first, by their definitions."""
    ranks = [rank for rank, hit in enumerate(order, 1) if hit]
    gain = sum(1 / np.log2(rank + 1) for rank in ranks if rank <= k)
    return (
        float(min(ranks) <= k),
        sum(rank <= k for rank in ranks) / len(ranks),
        sum(rank <= k for rank in ranks) / k,
        1 / min(ranks),
        sum(number / rank for number, rank in enumerate(ranks, 1)) / len(ranks),
        gain / sum(1 / np.log2(rank + 1) for rank in range(1, min(k, len(ranks)) + 1)),
        min(ranks),
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6).filter(
        lambda items: any(hit for _, hit in items)
    ),
    st.integers(1, 8),
)
@settings(deadline=None)
def test_metrics_are_their_mean_over_all_orders_of_ties(items, k):
    orders = [
        [hit for _, hit in order]
        for order in permutations(items)
        if all(a[0] >= b[0] for a, b in pairwise(order))
    ]
    expected = np.mean([reference_metrics(order, k) for order in orders], axis=0)
    scores, hits = zip(*items, strict=True)
    ranking = Ranking.from_scores(np.array([scores], np.float32), np.array([hits]))
    found = [
        *(metric(ranking, k)[0] for metric in (hit_rate_at, recall_at, precision_at)),
        *(metric(ranking)[0] for metric in (reciprocal_rank, average_precision)),
        ndcg_at(ranking, k)[0],
        first_relevant_rank(ranking)[0],
    ]
    np.testing.assert_allclose(found, expected, **EXACT)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 1_000_000]), st.integers(1, 50))
@settings(deadline=None, max_examples=50)
def test_ndcg_and_roc_auc_agree_with_scikit_learn_with_and_without_ties(seed, levels, k):
    generator = np.random.default_rng(seed)
    scores = generator.integers(levels, size=(4, 40)).astype(np.float32)
    relevant = generator.random((4, 40)) < 0.2
    relevant[:, 0], relevant[:, 1] = True, False
    ranking = Ranking.from_scores(scores, relevant)
    for row in range(4):
        expected = metrics.ndcg_score(relevant[row : row + 1].astype(float), scores[row : row + 1], k=k)
        assert ndcg_at(ranking, k)[row] == pytest.approx(expected, abs=1e-9)
        expected = metrics.roc_auc_score(relevant[row], scores[row])
        assert roc_auc(scores[row], relevant[row]) == pytest.approx(expected, abs=1e-9)


def test_average_precision_agrees_with_scikit_learn_without_ties():
    """scikit-learn counts tied scores at once instead of averaging over their orders."""
    generator = np.random.default_rng(1)
    scores = generator.permutation(4_000).reshape(20, 200).astype(np.float32)
    relevant = generator.random((20, 200)) < 0.1
    relevant[:, 0] = True
    expected = [metrics.average_precision_score(r, s) for r, s in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(average_precision(Ranking.from_scores(scores, relevant)), expected, **EXACT)


def test_hit_rate_agrees_with_top_k_accuracy_of_scikit_learn():
    generator = np.random.default_rng(2)
    scores, truth = (
        generator.permutation(800).reshape(100, 8).astype(np.float32),
        generator.integers(8, size=100),
    )
    ranking = Ranking.from_scores(scores, truth[:, None] == np.arange(8))
    for k in (1, 3, 7):
        expected = metrics.top_k_accuracy_score(truth, scores, k=k, labels=np.arange(8))
        assert hit_rate_at(ranking, k).mean() == pytest.approx(expected, abs=1e-9)


def test_relevant_items_missing_from_the_ranking_count_as_missed():
    ranking = Ranking.from_scores(
        np.array([[2, 1], [2, 1]], np.float32), np.array([[True, False], [False, False]]), np.array([4, 1])
    )
    np.testing.assert_allclose(recall_at(ranking, 10), [1 / 4, 0], **EXACT)
    np.testing.assert_allclose(average_precision(ranking), [1 / 4, 0], **EXACT)
    np.testing.assert_allclose(ndcg_at(ranking, 1), [1, 0], **EXACT)
    np.testing.assert_array_equal(first_relevant_rank(ranking), [1, np.inf])


def test_roc_auc_of_a_small_table():
    scores, truth = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert roc_auc(scores, truth) == 0.75


def test_measure_of_perfect_and_shifted_relevance():
    eye = np.eye(30, dtype=np.float32)
    owners = np.arange(30)
    perfect = measure(eye, eye, RelevanceByOwner(owners, owners))
    assert perfect.summary() == {
        "recall@1": 100, "recall@5": 100, "recall@10": 100, "mrr": 1, "ndcg@10": 1, "median_rank": 1,
        "true_recall@10": 100, "precision@10": 0.1, "map": 1,
    }  # fmt: skip
    np.testing.assert_array_equal(perfect.curve, np.full(30, 100))
    shifted = measure(eye, eye, RelevanceByOwner(owners, np.roll(owners, 1)))
    assert shifted.summary()["recall@1"] == 0
    assert shifted.summary()["median_rank"] == pytest.approx(1 + 1 + 28 / 2)


def test_measure_does_not_depend_on_the_order_of_equal_vectors_or_the_batch_size():
    """Every vector of the gallery occurs twice."""
    generator = np.random.default_rng(3)
    gallery = np.repeat(generator.standard_normal((20, 16)), 2, axis=0).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    queries, owners = gallery[::2] + np.float32(0.5), np.arange(20)
    expected = measure(queries, gallery, RelevanceByOwner(owners, np.arange(40)))
    order = generator.permutation(40)
    relevant = RelevanceByOwner(owners, np.arange(40)[order])
    shuffled = measure(queries, gallery[order], relevant, max_batch_scores=3 * 40)
    for name, values in expected.per_query.items():
        np.testing.assert_allclose(values, shuffled.per_query[name], **EXACT)


def test_bootstrap_detects_only_real_differences():
    generator = np.random.default_rng(4)
    old = generator.random(400)
    better = bootstrap(old, old + 0.1 + 0.1 * generator.standard_normal(400))
    assert better.mean == pytest.approx(0.1, abs=0.02)
    assert better.low == pytest.approx(better.mean - 1.96 * 0.1 / 20, abs=0.002)  # of the normal distribution
    assert better.high == pytest.approx(better.mean + 1.96 * 0.1 / 20, abs=0.002)
    assert better.is_significant
    assert not bootstrap(old, old + 0.1 * generator.standard_normal(400)).is_significant
    assert bootstrap(old, old + 1, seed=1) == bootstrap(old, old + 1, seed=1)


def test_bootstrap_by_group_does_not_count_repeated_answers():
    generator = np.random.default_rng(5)
    old, new = generator.random(100), generator.random(100)
    alone = bootstrap(old, new)
    copies = bootstrap(np.repeat(old, 5), np.repeat(new, 5), groups=np.repeat(np.arange(100), 5))
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    ungrouped = bootstrap(np.repeat(old, 5), np.repeat(new, 5))
    assert ungrouped.high - ungrouped.low < 0.6 * (alone.high - alone.low)


def test_compare_pairs_the_queries_of_both_measurements():
    def measurement(items, values):
        return Measurement({"mrr": np.array(values)}, np.zeros(1), np.array(items), np.array(items))

    differences = compare(
        measurement([1, 2, 3], [0.1, np.nan, 0.3]), measurement([3, 2, 1, 0], [0.5, 1, 0.3, 0.0])
    )
    assert differences["mrr"].mean == pytest.approx(0.2)
    assert differences["mrr"].low == pytest.approx(0.2)


@pytest.mark.parametrize(("found", "count"), [(0, 7), (5, 7), (599, 600), (600, 600)])
def test_wilson_lower_bound_of_zeros_and_ones_equals_that_of_scipy(found, count):
    interval = binomtest(found, count).proportion_ci(0.9, "wilson")  # of both sides
    values = np.repeat([1.0, 0.0], [found, count - found])
    assert wilson_lower_bound(values) == pytest.approx(interval.low, abs=1e-12)


def test_wilson_lower_bound_is_exceeded_by_the_true_mean_in_about_95_percent_of_samples():
    rng = np.random.default_rng(0)
    values = np.concatenate([np.ones(9_700), np.zeros(50), rng.integers(10, size=250) / 10])
    bounds = [wilson_lower_bound(rng.choice(values, 600)) for _ in range(1_000)]
    assert 0.93 <= np.mean(np.array(bounds) <= values.mean()) <= 0.999


def test_wilson_lower_bound_is_nearer_if_values_vary_less_than_zeros_and_ones():
    few, all_or_none = np.tile([0.9, 1.0], 300), np.repeat([1.0, 0.0], [570, 30])
    assert few.mean() == all_or_none.mean()
    assert wilson_lower_bound(all_or_none) < wilson_lower_bound(few) < 0.95
