"""Tests of every index method against exact search, in ids and scores."""

import re

import faiss
import numpy as np
import pytest

from retrieval.errors import LibraryDamaged
from retrieval.scoring.ranking import recall, top_k
from retrieval.vectors.base import method_for
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex
from tests.support.milvus_servers import HAS_LITE, build_index, lite_in_process, needs_lite

METHODS = ["flat", "hnsw", "ivf"]
BACK_ENDS = [*METHODS, pytest.param("milvus", marks=needs_lite)]
COUNT, DIM = 3_000, 32


@pytest.fixture(scope="module")
def vectors():
    """Return random clustered unit vectors, rounded to float16 as in a library."""
    draw = np.random.default_rng(7)
    centers = draw.standard_normal((60, DIM))
    rows = centers[draw.integers(0, 60, COUNT)] + 0.6 * draw.standard_normal((COUNT, DIM))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def ids():
    return np.sort(np.random.default_rng(8).choice(10 * COUNT, COUNT, replace=False)).astype(np.int64)


@pytest.fixture(scope="module")
def exact(ids, vectors):
    return ExactIndex(ids, vectors)


@pytest.fixture(scope="module")
def milvus(tmp_path_factory):
    with lite_in_process(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="module")
def indexes(ids, vectors, request):
    halves = [(ids[:1000], vectors[:1000]), (ids[1000:], vectors[1000:])]
    built = {method: FaissIndex.build(method, vectors, iter(halves), COUNT) for method in METHODS}
    if HAS_LITE:
        built["milvus"] = build_index(request.getfixturevalue("milvus"), "large", ids, vectors)
    return built


def true_scores(queries, found, ids, vectors):
    """Return the exact scores of the found ids, best first."""
    rows = np.searchsorted(ids, found)
    scores = np.take_along_axis(queries @ vectors.T, rows, axis=1)
    return -np.sort(-scores, axis=1)


@pytest.mark.parametrize("method", BACK_ENDS)
def test_nearest_neighbor_of_a_stored_vector_is_itself(method, indexes, ids, vectors):
    scores, found = indexes[method].search(vectors[:50], 1)
    np.testing.assert_array_equal(found[:, 0], ids[:50])
    np.testing.assert_allclose(scores[:, 0], 1.0, atol=0.02)


@pytest.mark.parametrize("method", BACK_ENDS)
def test_scores_and_ids_agree_with_exact_search(method, indexes, exact, ids, vectors):
    queries = vectors[:100]
    truth, wanted = exact.search(queries, 10)
    scores, found = indexes[method].search(queries, 30)
    best, order = [], []
    for query, near in zip(queries, found, strict=True):
        rows = np.searchsorted(ids, near)
        top_scores, top_ids = top_k((query @ vectors[rows].T)[None], near, 10)
        best.append(top_scores[0])
        order.append(top_ids[0])
    np.testing.assert_array_equal(np.array(order), wanted)
    np.testing.assert_allclose(np.array(best), truth, atol=1e-5)
    np.testing.assert_allclose(scores[:, :10], truth, atol=0.04 if method in ("hnsw", "ivf") else 1e-3)


@pytest.mark.parametrize("method", BACK_ENDS)
@pytest.mark.parametrize("share", [0.002, 0.01, 0.1, 0.5])
def test_filtered_search_returns_only_allowed_ids_with_high_recall(
    method, share, indexes, exact, ids, vectors
):
    allowed = ids[np.random.default_rng(3).random(COUNT) < share]
    truth, _ = exact.search(vectors[:40], 5, allowed)
    _, found = indexes[method].search(vectors[:40], 20, allowed)
    available = min(len(allowed), 20)
    assert np.isin(found[:, :available], allowed).all()
    assert (found[:, available:] == -1).all()
    best = true_scores(vectors[:40], found[:, :available], ids, vectors)[:, :5]
    assert recall(best, truth) > 0.99


@pytest.mark.parametrize("method", BACK_ENDS)
def test_unknown_allowed_ids_return_no_hits(method, indexes, ids, vectors):
    unknown = np.setdiff1d(np.arange(10 * COUNT, dtype=np.int64), ids)[:500]
    _, found = indexes[method].search(vectors[:5], 10, unknown)
    assert (found == -1).all()
    _, found = indexes[method].search(vectors[:5], 10, np.empty(0, np.int64))
    assert (found == -1).all()


@pytest.mark.parametrize("method", BACK_ENDS)
def test_result_is_padded_if_the_index_has_fewer_vectors(method, ids, vectors, request):
    if method == "milvus":
        small = build_index(request.getfixturevalue("milvus"), "small", ids[:5], vectors[:5])
    else:
        small = FaissIndex.build(method, vectors[:5], iter([(ids[:5], vectors[:5])]), 5)
    _, found = small.search(vectors[:1], 20)
    assert set(found[0, :5]) == set(ids[:5])
    assert (found[0, 5:] == -1).all()


@pytest.mark.parametrize("method", METHODS)
def test_memory_mapped_index_returns_the_same_hits(method, indexes, tmp_path, vectors):
    from indexer.maintenance.build_index import save_index

    digest, size = save_index(indexes[method], tmp_path / "index")
    assert (tmp_path / "index").stat().st_size == size
    assert len(digest) == 64
    loaded = FaissIndex.load(tmp_path / "index", method, indexes[method].search_effort)
    expected = indexes[method].search(vectors[:9], 7)
    for array, expected_array in zip(loaded.search(vectors[:9], 7), expected, strict=True):
        np.testing.assert_array_equal(array, expected_array)
    assert len(loaded) == COUNT


def test_invalid_index_file_raises_library_damaged(tmp_path):
    (tmp_path / "index").write_bytes(b"not an index")
    with pytest.raises(LibraryDamaged, match=re.escape(str(tmp_path / "index"))):
        FaissIndex.load(tmp_path / "index", "flat", 0)


def test_exact_search_breaks_ties_by_id_and_pads():
    exact = ExactIndex(np.array([4, 7, 9]), np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    scores, found = exact.search(np.array([[1, 0]], np.float32), 5)
    np.testing.assert_array_equal(found, [[4, 7, 9, -1, -1]])
    np.testing.assert_array_equal(scores, [[1, 1, 0, -np.inf, -np.inf]])


def test_method_is_flat_then_hnsw_then_ivf_as_libraries_grow():
    assert method_for(1) == method_for(200_000) == "flat"
    assert method_for(200_001) == method_for(4_000_000) == "hnsw"
    assert method_for(4_000_001) == "ivf"


def clustered(draw, size, dim):
    """Return unit vectors around 200 centers."""
    rows = draw.standard_normal((200, dim))[draw.integers(0, 200, size)]
    rows = rows + 1.2 * draw.standard_normal((size, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [100, 400])
@pytest.mark.parametrize("share", [1, 0.9, 0.5, 0.3])
def test_ivf_finds_more_than_the_ten_that_its_effort_is_tuned_for(count, share):
    draw = np.random.default_rng(11)
    vectors, queries = np.split(clustered(draw, 12_040, 48), [12_000])
    ids = np.arange(len(vectors), dtype=np.int64)
    index = FaissIndex.build("ivf", vectors, iter([(ids, vectors)]), len(ids))
    index.search_effort = next(
        effort for effort in index.search_efforts if recall_of(index, effort, queries, vectors, 10) >= 0.995
    )
    allowed = ids[draw.random(len(ids)) < share]
    assert recall_of(index, index.search_effort, queries, vectors, count, allowed) >= 0.97


def recall_of(index, effort, queries, vectors, count, allowed=None):
    """Return the share of the best `count` among the candidates that a ranking requests for them."""
    index.search_effort = effort
    found = index.search(queries, 2 * count + 20, allowed)[1]
    ids = np.arange(len(vectors)) if allowed is None else allowed
    best = top_k(queries @ vectors[ids].T, ids, count)[1]
    return np.mean([np.isin(row, near).mean() for row, near in zip(best, found, strict=True)])


def test_lists_of_ivf_contain_the_sketch_of_each_row_once(indexes, vectors):
    lists = indexes["ivf"]._approximate
    rows, sketches = (np.concatenate(parts) for parts in zip(*lists.contents, strict=True))
    np.testing.assert_array_equal(np.sort(rows), np.arange(COUNT))
    np.testing.assert_array_equal(sketches, lists.sketch(vectors)[rows])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_search_keeps_the_number_of_threads(indexes, vectors, count):
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        indexes["flat"].search(vectors[:count], 5)
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)
