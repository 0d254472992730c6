"""Tests of the rows at which a search enters a graph, and of its links after the build."""

import faiss
import numpy as np
import pytest

from retrieval.vectors import hnsw, lsh_sketch
from retrieval.vectors.faiss_index import FaissIndex
from retrieval.vectors.hnsw import Links
from tests.support.gap_vectors import GapVectors

COUNT, DIM, CLUSTERS, EFFORT = 8_000, 256, 80, 16
IDS = np.arange(COUNT, dtype=np.int64)


@pytest.fixture(scope="module")
def images():
    return GapVectors(DIM, CLUSTERS).pairs(COUNT, 1)[0]


@pytest.fixture(scope="module")
def texts():
    return GapVectors(DIM, CLUSTERS).pairs(1_000, 2)[1]


@pytest.fixture(scope="module")
def index(images):
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # so that the graph is the same each time
    try:
        return FaissIndex.build("hnsw", images, [(IDS, images)], COUNT)
    finally:
        faiss.omp_set_num_threads(before)


@pytest.fixture
def graph(index):
    return index._approximate


def count_lost(search, images, texts):
    """Return for how many queries a search finds none of the ten best."""
    best = np.argsort(-(texts @ images.T), axis=1)[:, :10]
    return sum(not np.isin(ten, rows).any() for ten, rows in zip(best, search(texts), strict=True))


def test_fewer_searches_by_words_end_in_a_wrong_cluster_than_from_the_top_level(graph, images, texts):
    parameters = faiss.SearchParametersHNSW(efSearch=EFFORT)
    from_top_level = count_lost(
        lambda queries: graph.graph.search(queries, EFFORT, params=parameters)[1], images, texts
    )
    from_entries = count_lost(lambda queries: graph.search(queries, EFFORT, EFFORT)[1], images, texts)
    assert from_top_level >= 3
    assert from_entries <= from_top_level / 3


def test_entry_is_a_result_with_its_score(graph, images):
    """FAISS 1.12 and 1.13 expect negative scores of entries, and would leave them out."""
    rows = graph._entry_sample.rows[:200]
    scores, best = graph.search(images[rows], 1, EFFORT)
    np.testing.assert_array_equal(best[:, 0], rows)
    np.testing.assert_allclose(scores[:, 0], 1.0, atol=0.02)


def test_several_queries_have_the_results_of_each(graph, texts):
    assert graph.search(texts[:0], 15, EFFORT)[1].shape == (0, 15)
    scores, rows = graph.search(texts[:20], 15, EFFORT)
    for query, its_scores, its_rows in zip(texts[:20], scores, rows, strict=True):
        alone = graph.search(query[None], 15, EFFORT)
        np.testing.assert_array_equal(alone[1][0], its_rows)
        np.testing.assert_array_equal(alone[0][0], its_scores)


@pytest.fixture(scope="module")
def linked_by_rows(images):
    """Return a graph that FAISS has linked by its rows, and relink it."""
    graph = faiss.IndexHNSWSQ(
        DIM, faiss.ScalarQuantizer.QT_6bit, hnsw.NEIGHBORS_PER_NODE, faiss.METRIC_INNER_PRODUCT
    )
    graph.hnsw.efConstruction = hnsw.EF_CONSTRUCTION
    pair = faiss.IndexRefine(lsh_sketch.create(DIM), graph)
    pair.train(images)
    pair.add(images)
    built = hnsw.Graph(pair)
    built.relink()
    return pair, built


@pytest.mark.parametrize(("effort", "least", "tolerance"), [(16, 0.9, 0.02), (64, 0.99, 0.003)])
def test_graph_linked_by_sketches_finds_as_many_as_one_linked_by_rows(
    effort, least, tolerance, linked_by_rows, graph, images, texts
):
    truth = np.sort(-(texts @ images.T), axis=1)[:, 9:10]

    def share_found(searched):
        _, rows = searched.search(texts, 20, effort)
        scores = np.sort(-np.einsum("qd,qnd->qn", texts, images[rows]), axis=1)[:, :10]
        return (scores <= truth + 1e-6).mean()

    by_rows = share_found(linked_by_rows[1])
    assert by_rows > least
    assert share_found(graph) > by_rows - tolerance


@pytest.mark.parametrize("count", [1, 5, 17, 70])
def test_graph_smaller_than_its_sample_finds_all_rows(images, count):
    index = FaissIndex.build("hnsw", images[:count], [(IDS[:count], images[:count])], count)
    _, rows = index.search(images[:1], count + 3, effort=EFFORT)
    assert sorted(rows[0, :count]) == list(range(count))
    assert (rows[0, count:] == -1).all()


def test_rows_with_links_to_a_wrong_cluster_only_are_found_after_relinking(images):
    count = 2_000
    index = FaissIndex.build("hnsw", images[:count], [(IDS[:count], images[:count])], count)
    graph, lost = index._approximate, np.arange(7, count, 100)
    links = Links(graph.graph)
    for row in range(count):
        own = links._links_of(row)
        kept = own[(own >= 0) & ~np.isin(own, lost)]
        own[:] = -1
        own[: len(kept)] = kept
    farthest = np.argsort(images[lost] @ images[:count].T, axis=1)[:, :5]
    for row, wrong in zip(lost, farthest, strict=True):
        links._links_of(row)[:] = -1
        links._links_of(row)[:5] = wrong
    sampled = np.isin(lost, graph._entry_sample.rows)

    def found():
        return (graph.search(images[lost], 1, 64)[1][:, 0] == lost)[~sampled]

    assert not found().any()
    graph.relink()
    assert found().all()
    assert (links.of(lost)[:, :5] != farthest).all()  # the nearer ones come first
    for row in lost:  # no row is its own neighbor or named twice
        own = links.of(np.array([row]))[0]
        assert row not in own
        assert len(np.unique(own[own >= 0])) == (own >= 0).sum()


def test_link_to_a_row_replaces_one_if_all_others_are_full(images):
    index = FaissIndex.build("hnsw", images[:300], [(IDS[:300], images[:300])], 300)
    links = Links(index._approximate.graph)
    full = np.arange(100, 148)
    for row in (1, 2):
        links._links_of(row)[:] = full
    links.add(0, np.array([1, 2]))
    assert list(links.of(np.array([0]))[0, :2]) == [1, 2]
    assert links.of(np.array([1]))[0, -1] == 0
    np.testing.assert_array_equal(links.of(np.array([2]))[0], full)
