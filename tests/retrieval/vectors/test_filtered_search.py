"""Tests of filtered search, whose results must equal an exact search of the vectors that pass."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.maintenance.build_index import build_if_due, build_indexes
from indexer.maintenance.verify_catalog import Findings, verify_indexes
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.types import Filters
from retrieval.vectors import flat, hnsw, ivf, lsh_sketch
from retrieval.vectors.base import FILE_FORMATS
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex
from retrieval.vectors.id_filter import IdFilter
from retrieval.vectors.milvus.index import MilvusIndex
from retrieval.vectors.space_index import SpaceIndex
from tests.support.milvus_servers import HAS_LITE, build_index, lite_in_process, needs_lite
from tests.support.vector_library import drawn_embedder, insert_vectors

METHODS = ["flat", "hnsw", "ivf"]
COUNT, SMALL_COUNT, DIM, FILTER = 4_000, 1_200, 24, Filters(under=("some",))
SHARES = [0.001, 0.01, 0.1, 0.5, 0.97]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Limit FAISS to one thread, because starting threads dominates the time of small searches."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def vectors():
    """Return random clustered unit vectors, rounded to float16 as in a library."""
    draw = np.random.default_rng(17)
    rows = draw.standard_normal((80, DIM))[draw.integers(0, 80, COUNT)]
    rows = rows + 0.7 * draw.standard_normal((COUNT, DIM))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    """Return nine queries near stored vectors and three random ones."""
    draw = np.random.default_rng(18)
    rows = vectors[draw.integers(0, COUNT, 9)] + 0.1 * draw.standard_normal((9, DIM))
    rows = np.concatenate([rows, draw.standard_normal((3, DIM))])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


STRATEGIES = {
    "exact": {},
    "sketch": {
        hnsw: {"MAX_SCANNED_ROWS": 30},
        ivf: {"ROW_SECONDS": 1.0},
        lsh_sketch: {"MIN_COMPARED_ROWS": 300},
    },
    "graph": {hnsw: {"MAX_SCANNED_ROWS": 30, "GRAPH_CANDIDATE_SECONDS": 0.0}},
}


@pytest.fixture
def use_strategy(monkeypatch):
    """Return a function that forces a search strategy, which otherwise depends on the number of rows."""

    def use(strategy):
        for module, values in STRATEGIES[strategy].items():
            for name, value in values.items():
                monkeypatch.setattr(module, name, value)

    return use


@pytest.fixture
def with_sketch(use_strategy):
    """Force the strategy that compares sketches first."""
    use_strategy("sketch")


@pytest.fixture(scope="module")
def drawn_library(tmp_path_factory, vectors):
    """Write a library of images; the last tenth of them is not in the index."""
    folder = tmp_path_factory.mktemp("drawn")
    with LibraryWriter(folder, lambda _: drawn_embedder(DIM)) as writer:
        insert_vectors(writer, range(1, 9 * COUNT // 10 + 1), vectors)
        build_indexes(writer, writer.catalog.space(), "hnsw")
        insert_vectors(writer, range(9 * COUNT // 10 + 1, COUNT + 1), vectors)
    return folder


def choose_allowed(correlation, share, query, vectors):
    """Return allowed ids, ascending: random ones, those nearest to the query, or those farthest from it."""
    size, order = max(3, int(share * len(vectors))), np.argsort(vectors @ query)
    rows = {
        "uncorrelated": np.random.default_rng(3).permutation(len(vectors))[:size],
        "correlated": order[-size:],
        "anti-correlated": order[:size],
    }[correlation]
    return np.sort(rows).astype(np.int64) + 1


def exact_search(query, vectors, allowed, count):
    """Return scores and ids by comparing all rows with NumPy only."""
    scores = np.einsum("d,nd->n", query, vectors[allowed - 1])
    order = np.lexsort((allowed, -scores))[:count]
    return scores[order], allowed[order]


def nearest_of(library, allowed=None):
    catalog = Catalog.open(library)
    nearest = SpaceIndex(catalog, catalog.space())
    if allowed is not None:
        nearest._allowed_ids[FILTER] = allowed
    return nearest


@pytest.fixture(scope="module")
def milvus(tmp_path_factory):
    with lite_in_process(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="module")
def indexes(vectors, request):
    """Build an index with each method."""
    ids = np.arange(1, COUNT + 1, dtype=np.int64)
    built = {name: FaissIndex.build(name, vectors, iter([(ids, vectors)]), COUNT) for name in METHODS}
    if HAS_LITE:
        built["milvus"] = build_index(request.getfixturevalue("milvus"), "filtered", ids, vectors)
        rows = built["milvus"].collection
        built["milvus lists"] = MilvusIndex(rows, "image", COUNT, max_listed_ids=500)
    return built


@pytest.mark.parametrize(
    ("method", "strategy"),
    [
        ("flat", "exact"),
        ("ivf", "exact"),
        ("ivf", "sketch"),
        *(("hnsw", name) for name in STRATEGIES),
        *(pytest.param(name, "exact", marks=needs_lite) for name in ("milvus", "milvus lists")),
    ],
)
@pytest.mark.parametrize("correlation", ["uncorrelated", "correlated", "anti-correlated"])
@pytest.mark.parametrize("share", SHARES)
def test_index_finds_the_best_allowed_vectors(
    indexes, use_strategy, vectors, queries, method, strategy, correlation, share
):
    use_strategy(strategy)
    hits = []
    for query in queries:
        allowed = choose_allowed(correlation, share, query, vectors)
        wanted = 400 if correlation == "anti-correlated" else 40  # scores closer than the precision of 6 bits
        scores, found = indexes[method].search(query[None], wanted, allowed)
        available = min(wanted, len(allowed))
        assert np.isin(found[0, :available], allowed).all()
        assert (found[0, available:] == -1).all()
        expected = vectors[found[0, :available] - 1] @ query
        np.testing.assert_allclose(
            scores[0, :available], expected, atol=0.05 if method in ("hnsw", "ivf") else 1e-3
        )
        hits.append(np.isin(exact_search(query, vectors, allowed, 10)[1], found[0]).mean())
    assert np.mean(hits) > 0.99


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("correlation", ["uncorrelated", "correlated", "anti-correlated"])
@pytest.mark.parametrize("share", SHARES)
def test_filtered_ids_and_scores_are_exact_with_unindexed_vectors(
    drawn_library, use_strategy, vectors, queries, strategy, correlation, share, monkeypatch
):
    use_strategy(strategy)
    monkeypatch.setattr(
        "retrieval.vectors.space_index.MAX_EXACT_SCAN_VECTORS", 2
    )  # so that small filters use the index, too
    nearest = nearest_of(drawn_library)
    for query in queries:
        allowed = nearest._allowed_ids[FILTER] = choose_allowed(correlation, share, query, vectors)
        for count in (1, 10, 60):
            scores, found = nearest.search(query[None], "image", count, FILTER)
            true_scores, best = exact_search(query, vectors, allowed, count)
            np.testing.assert_array_equal(found, best)
            np.testing.assert_allclose(scores, true_scores, atol=1e-6)


def test_unknown_allowed_ids_do_not_displace_hits(indexes, with_sketch, vectors, queries):
    allowed = np.concatenate([[-5, 0], np.arange(1, COUNT + 1, 3), COUNT + np.arange(1, 9_999)])
    known = allowed[(allowed > 0) & (allowed <= COUNT)]
    for index in indexes.values():
        for query in queries:
            _, found = index.search(query[None], 40, allowed)
            assert np.isin(found, known).all()
            assert np.isin(exact_search(query, vectors, known, 10)[1], found).all()


@pytest.mark.parametrize("purged_count", [25, 60, 300])
@pytest.mark.parametrize("method", METHODS)
def test_purged_cluster_hides_no_indexed_vector_behind_newer_ones(tmp_path, method, purged_count):
    """As after a burst was deleted: the nearest rows of the index are all purged ones."""
    draw = np.random.default_rng(purged_count)
    query = np.eye(1, DIM, dtype=np.float32)
    near = query + 0.05 * draw.standard_normal((purged_count, DIM))
    less_near = query + 0.12 * draw.standard_normal((50, DIM))
    rows = np.concatenate([near, less_near, draw.standard_normal((1_000, DIM))])
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    indexed = len(vectors) - 120
    with LibraryWriter(tmp_path, lambda _: drawn_embedder(DIM)) as writer:
        insert_vectors(writer, range(1, indexed + 1), vectors)
        build_indexes(writer, writer.catalog.space(), method)
        insert_vectors(writer, range(indexed + 1, len(vectors) + 1), vectors)
        purge_vectors(writer, range(1, purged_count + 1))
    index = nearest_of(tmp_path)
    remaining = np.arange(purged_count + 1, len(vectors) + 1)
    for count in (1, 4, 10, 40):
        _, found = index.search(query, "image", count)
        np.testing.assert_array_equal(found, exact_search(query[0], vectors, remaining, count)[1])


def purge_vectors(writer, ids):
    with writer.db.atomic():
        for table, column in ((vectors_table(writer.space_id), "segment"), ("segments", "id")):
            writer.db.conn.executemany(f"DELETE FROM {table} WHERE {column} = ?", ((id_,) for id_ in ids))


def test_purged_vectors_do_not_displace_hits(tmp_path, with_sketch, vectors, queries):
    with LibraryWriter(tmp_path, lambda _: drawn_embedder(DIM)) as writer:
        insert_vectors(writer, range(1, SMALL_COUNT + 1), vectors)
        build_indexes(writer, writer.catalog.space(), "hnsw")
        order = np.argsort(-vectors[:SMALL_COUNT] @ queries[0])
        purged = [int(id_) for id_ in order[:300] + 1]
        purge_vectors(writer, purged)
    remaining = np.setdiff1d(np.arange(2, SMALL_COUNT + 1, 2), purged)
    nearest = nearest_of(tmp_path, np.arange(2, SMALL_COUNT + 1, 2))
    scores, found = nearest.search(queries[:1], "image", 10, FILTER)
    true_scores, best = exact_search(queries[0], vectors, remaining, 10)
    np.testing.assert_array_equal(found, best)
    np.testing.assert_allclose(scores, true_scores, atol=1e-6)


def test_equal_vectors_are_all_found(with_sketch):
    same = np.tile(np.array([[1, 0, 0, 0]], np.float32), (500, 1))
    ids = np.arange(500, dtype=np.int64)
    index = FaissIndex.build("hnsw", same, iter([(ids, same)]), 500)
    _, found = index.search(same[:1], 300, ids[::2])
    assert set(found[0]) == {*ids[::2], -1}


def test_uninformative_sketch_does_not_lower_recall(with_sketch, indexes, vectors, queries, monkeypatch):
    """The search compares more rows until the best hits are well within them."""
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, COUNT).astype(np.int32)
    monkeypatch.setattr(lsh_sketch.LshSketch, "distances", lambda self, query, rows: noise[rows])
    allowed = np.arange(1, COUNT + 1, 2)
    hits = [
        np.isin(
            exact_search(query, vectors, allowed, 10)[1], indexes["hnsw"].search(query[None], 40, allowed)[1]
        )
        for query in queries
    ]
    assert np.mean(hits) > 0.9


@pytest.mark.parametrize("share", [0.05, 0.6])
def test_sketch_distances_of_selected_rows_are_hamming_distances(indexes, vectors, queries, share):
    sketch = lsh_sketch.LshSketch(indexes["hnsw"]._approximate.sketch.index, chunk_rows=64)
    rows = np.flatnonzero(np.random.default_rng(2).random(COUNT) < share)
    bits = np.unpackbits(sketch.codes, axis=1) != np.unpackbits(sketch.index.sa_encode(queries[:1]), axis=1)
    np.testing.assert_array_equal(sketch.distances(queries[:1], rows), bits[rows].sum(axis=1))


@pytest.mark.parametrize("most", [40, 400])
def test_rows_compared_after_an_uninformative_sketch_are_limited(indexes, with_sketch, queries, most):
    storage, rows = indexes["hnsw"]._approximate.storage, np.arange(COUNT)[::-1]
    distances = np.random.default_rng(4).permutation(COUNT).astype(np.int32)  # of each row, by its number
    for query in queries:
        _, best = lsh_sketch.compare_nearest(storage, query[None], 10, rows, distances[::-1], most)
        reached = max(most, lsh_sketch.GROWTH_FACTOR**2 * 10)
        near = np.flatnonzero(distances < reached)
        np.testing.assert_array_equal(best, flat.search(storage, query[None], 10, near)[1])


def test_all_rows_are_compared_if_all_are_wanted(indexes, queries, monkeypatch):
    monkeypatch.setattr(lsh_sketch, "HISTOGRAM_ROWS", 100)
    storage, rows = indexes["hnsw"]._approximate.storage, np.arange(COUNT)
    distances = np.random.default_rng(4).permutation(COUNT).astype(np.int32)
    _, best = lsh_sketch.compare_nearest(storage, queries[:1], COUNT, rows, distances)
    np.testing.assert_array_equal(np.sort(best[0]), rows)


@pytest.mark.parametrize("copied", [0.0, 1.0])
def test_flat_search_is_the_same_with_and_without_copying_rows(indexes, queries, copied):
    storage, rows = indexes["hnsw"]._approximate.storage, np.arange(5, COUNT, 7)
    scores, best = flat.search(storage, queries, 50, rows, max_copied_share=copied)
    all_scores, all_rows = storage.search(queries, COUNT)
    for query_scores, query_rows, expected_scores, expected_rows in zip(
        scores, best, all_scores, all_rows, strict=True
    ):
        keep = np.isin(expected_rows, rows)
        np.testing.assert_array_equal(query_rows, expected_rows[keep][:50])
        np.testing.assert_allclose(query_scores, expected_scores[keep][:50], rtol=1e-6)


@settings(max_examples=200)
@given(ids=st.sets(st.integers(0, 60)), allowed=st.sets(st.integers(-5, 70)))
def test_id_filter_returns_the_rows_of_allowed_ids(ids, allowed):
    indexed_ids, allowed_ids = np.array(sorted(ids), np.int64), np.array(sorted(allowed), np.int64)
    id_filter = IdFilter(indexed_ids)
    for _ in range(2):  # the second result comes from the cache
        assert list(indexed_ids[id_filter.rows(allowed_ids)]) == sorted(ids & allowed)


@settings(max_examples=100)
@given(allowed=st.sets(st.integers(0, 60)), count=st.integers(1, 70))
def test_filtered_exact_search_equals_a_search_of_only_those_vectors(allowed, count):
    draw = np.random.default_rng(4)
    vectors, ids = draw.standard_normal((50, 3), np.float32), np.arange(0, 100, 2)
    allowed_ids = np.array(sorted(allowed), np.int64)
    keep = [row for row, id_ in enumerate(ids) if id_ in allowed]
    scores, found = ExactIndex(ids, vectors).search(vectors[:2], count, allowed_ids)
    true_scores, best = ExactIndex(ids[keep], vectors[keep]).search(vectors[:2], count)
    np.testing.assert_array_equal(found, best)
    np.testing.assert_allclose(scores, true_scores, atol=1e-6)


def old_graph(dim, count):
    """Create a graph without a sketch, as clew 0.2 did."""
    return faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_6bit, 24, faiss.METRIC_INNER_PRODUCT)


def old_lists(dim, count):
    """Create lists of 8-bit rows, as clew 0.5 did, which also store the ids."""
    quantizer, eight_bits = faiss.IndexFlatIP(dim), faiss.ScalarQuantizer.QT_8bit
    lists = faiss.IndexIVFScalarQuantizer(
        quantizer, dim, ivf.list_count(count), eight_bits, faiss.METRIC_INNER_PRODUCT, False
    )
    quantizer.this.disown()
    lists.own_fields = True
    return lists


@pytest.fixture(params=["hnsw", "ivf"])
def old_library(request, tmp_path, vectors, monkeypatch):
    """Write a library with an index in an older format."""
    method = request.param
    with LibraryWriter(tmp_path, lambda _: drawn_embedder(DIM)) as writer, monkeypatch.context() as patch:
        patch.setattr(hnsw, "create", old_graph)
        patch.setattr(hnsw, "link", lambda graph: None)
        patch.setattr(ivf, "create", old_lists)
        if method == "ivf":
            patch.setattr(faiss, "IndexIDMap", lambda index: index)
        patch.setitem(FILE_FORMATS, method, method)
        monkeypatch.setattr(ivf, "SEARCH_EFFORTS", (1_024,))  # all lists, so that it finds all
        insert_vectors(writer, range(1, SMALL_COUNT + 1), vectors)
        build_if_due(writer, method)
    return tmp_path


def is_old(index):
    """Return True for a graph without a sketch, or lists of 8-bit rows."""
    searched = index._approximate
    return isinstance(searched, ivf.OldInvertedFile) or getattr(searched, "sketch", 0) is None


def test_index_in_an_older_format_is_searched_and_rebuilt_by_the_next_run(
    old_library, with_sketch, vectors, queries
):
    allowed = choose_allowed("uncorrelated", 0.3, queries[0], vectors[:SMALL_COUNT])
    states = []
    for _ in range(2):
        nearest = nearest_of(old_library, allowed)
        states.append((is_old(nearest.indexes["image"][0][1]), nearest.damage))
        for query in queries:
            _, found = nearest.search(query[None], "image", 10, FILTER)
            np.testing.assert_array_equal(found, exact_search(query, vectors, allowed, 10)[1])
            _, found = nearest.search(query[None], "image", 10)
            np.testing.assert_array_equal(
                found, exact_search(query, vectors, np.arange(1, SMALL_COUNT + 1), 10)[1]
            )
        with LibraryWriter(old_library) as writer:
            build_if_due(writer)
    assert states == [(True, None), (False, None)]
    assert len(list((old_library / "indexes").iterdir())) == 1


def test_damaged_index_is_searched_exactly_and_rebuilt(old_library, vectors, queries):
    with LibraryWriter(old_library) as writer:
        build_if_due(writer)
        (file,) = (old_library / "indexes").iterdir()
        allowed = choose_allowed("uncorrelated", 0.3, queries[0], vectors[:SMALL_COUNT])
        for damage in (file.unlink, lambda: file.write_bytes(file.read_bytes()[:-9]), lambda: flip(file)):
            damage()
            nearest = nearest_of(old_library, allowed)
            _, found = nearest.search(queries[:1], "image", 10, FILTER)
            assert nearest.damage
            np.testing.assert_array_equal(found, exact_search(queries[0], vectors, allowed, 10)[1])
            for repair, repaired in ((True, 1), (False, 0)):
                findings = Findings()
                verify_indexes(writer, findings, repair=repair)
                assert (len(findings.repaired), findings.errors) == (repaired, [])


def flip(file):
    """Flip a bit of the sketch, which is at the beginning of the file."""
    data = bytearray(file.read_bytes())
    data[len(data) // 10] ^= 1
    file.write_bytes(data)
