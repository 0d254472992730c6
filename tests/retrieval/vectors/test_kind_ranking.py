"""Tests of the lazy ranking of one kind against a ranking of all its vectors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex
from retrieval.vectors.kind_ranking import EXTRA_EXACT_CANDIDATES, KindRanking
from tests.support.vector_library import drawn_embedder, insert_vectors

COUNT, INDEXED_COUNT, DIM = 600, 500, 8
QUERY = np.eye(1, DIM, dtype=np.float32)
UNIFORM_QUERY = np.full((1, DIM), DIM**-0.5, np.float32)


@pytest.fixture(scope="module")
def vectors():
    """Return unit vectors of which many are equal, and many have equal scores with a uniform query."""
    draw = np.random.default_rng(5)
    distinct = draw.standard_normal((5, DIM))
    shuffled = draw.permuted(np.tile(draw.standard_normal((3, DIM)), (100, 1)), axis=1)
    rows = draw.permutation(np.concatenate([np.repeat(distinct, 60, axis=0), shuffled]))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory, vectors):
    folder = tmp_path_factory.mktemp("ties")
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        insert_vectors(writer, range(1, COUNT + 1), vectors)
    catalog = Catalog.open(folder)
    yield catalog
    catalog.close()


@pytest.fixture(scope="module")
def indexes(vectors):
    """Return an index of the first vectors with each exact method; the others are not indexed."""
    ids = np.arange(1, INDEXED_COUNT + 1)
    rows = vectors[:INDEXED_COUNT]
    flat = FaissIndex.build("flat", rows, iter([(ids, rows)]), INDEXED_COUNT)
    return {"flat": flat, "exact": ExactIndex(ids, rows)}


@pytest.fixture(scope="module")
def unindexed(vectors):
    return ExactIndex(np.arange(INDEXED_COUNT + 1, COUNT + 1), vectors[INDEXED_COUNT:])


def brute_force(query, vectors, ids):
    """Return scores and ids of all vectors, by score and then by id."""
    scores = np.einsum("d,nd->n", query[0], vectors[ids - 1])
    order = np.lexsort((ids, -scores))
    return scores[order], ids[order]


def concatenate(pages):
    pages = list(pages)
    return np.concatenate([scores for scores, _ in pages]), np.concatenate([ids for _, ids in pages])


@pytest.mark.parametrize("method", ["flat", "exact"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000), page_size=st.integers(1, 200), share=st.sampled_from([None, 0.1, 0.6]))
def test_pages_equal_the_ranking_of_all_vectors(
    catalog, vectors, indexes, unindexed, method, seed, page_size, share
):
    draw = np.random.default_rng(seed)
    query = (vectors[draw.integers(0, COUNT)][None], UNIFORM_QUERY)[seed % 2]
    all_ids = np.arange(1, COUNT + 1)
    allowed = None if share is None else all_ids[draw.random(COUNT) < share]
    ranking = KindRanking(catalog, catalog.space(), query, [unindexed, indexes[method]], allowed)
    scores, ids = concatenate(ranking.pages(page_size))
    expected_scores, expected_ids = brute_force(query, vectors, all_ids if allowed is None else allowed)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(scores, expected_scores)


def test_equal_scores_across_a_page_boundary_are_ordered_by_id(catalog, vectors, indexes, unindexed):
    rows, counts = np.unique(vectors, axis=0, return_counts=True)
    query = rows[[counts.argmax()]]
    same = np.flatnonzero((vectors == query).all(axis=1)) + 1
    assert len(same) > 25
    ranking = KindRanking(catalog, catalog.space(), query, [unindexed, indexes["flat"]])
    pages = ranking.pages(5)
    first, second = next(pages)[1], next(pages)[1]
    np.testing.assert_array_equal(np.concatenate([first, second]), brute_force(query, vectors, same)[1][:25])


def test_candidates_that_were_added_are_ranked_without_an_index(catalog, vectors):
    ranking = KindRanking(catalog, catalog.space(), QUERY)
    ranking.add(np.array([3, 7, 11]))
    ranking.add(np.array([5, 7, 9_999]))
    scores, ids = concatenate(ranking.pages(2))
    expected_scores, expected_ids = brute_force(QUERY, vectors, np.array([3, 5, 7, 11]))
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(scores, expected_scores)


def test_first_page_does_not_read_all_vectors(catalog, indexes, unindexed):
    ranking = KindRanking(catalog, catalog.space(), QUERY, [unindexed, indexes["flat"]])
    scores, ids = next(ranking.pages(1))
    assert len(scores) == len(ids) == 1
    assert len(ranking._ids) < COUNT


@pytest.mark.parametrize("method", ["flat", "exact"])
@pytest.mark.parametrize("page_size", [3, 50])
def test_first_page_reads_few_vectors_more_than_it_yields(catalog, vectors, indexes, method, page_size):
    query = np.random.default_rng(3).standard_normal((1, DIM)).astype(np.float32)
    none = ExactIndex(np.empty(0, np.int64), np.empty((0, DIM), np.float32))
    ranking = KindRanking(catalog, catalog.space(), query, [none, indexes[method]])
    scores, ids = next(ranking.pages(page_size))
    expected_scores, expected_ids = brute_force(query, vectors, np.arange(1, INDEXED_COUNT + 1))
    np.testing.assert_array_equal(ids, expected_ids[:page_size])
    np.testing.assert_array_equal(scores, expected_scores[:page_size])
    tied = int((expected_scores >= scores[-1]).sum())
    assert len(ranking._ids) <= 4 * (tied + EXTRA_EXACT_CANDIDATES)


def test_ranking_that_was_read_yields_the_same_pages_again(catalog, indexes, unindexed):
    ranking = KindRanking(catalog, catalog.space(), UNIFORM_QUERY, [unindexed, indexes["flat"]])
    best = ranking.top(10)
    scores, ids = concatenate(ranking.pages(7))
    np.testing.assert_array_equal(best, ids[:10])
    again_scores, again_ids = concatenate(ranking.pages(20))
    np.testing.assert_array_equal(again_ids, ids)
    np.testing.assert_array_equal(again_scores, scores)
    np.testing.assert_array_equal(ranking.top(10), best)


def test_ranking_of_no_vectors_has_no_pages(catalog):
    empty = ExactIndex(np.empty(0, np.int64), np.empty((0, DIM), np.float32))
    assert list(KindRanking(catalog, catalog.space(), QUERY, [empty]).pages(10)) == []
