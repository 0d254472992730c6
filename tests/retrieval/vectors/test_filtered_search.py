"""Filtered answers are those of comparing every vector that passes, however the index finds them."""

from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.maintenance.build_index import build_if_due, build_indexes
from indexer.maintenance.verify import verify
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.types import Filters
from retrieval.vectors import flat, hnsw, lsh_sketch
from retrieval.vectors.base import FILE_FORMATS
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex
from retrieval.vectors.id_filter import IdFilter
from retrieval.vectors.space_index import SpaceIndex

METHODS = ["flat", "hnsw", "ivf"]
COUNT, FEWER, DIM, SOME = 4_000, 1_200, 24, Filters(under=("some",))
SHARES = [0.001, 0.01, 0.1, 0.5, 0.97]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Keep faiss from waking a thread for each of many small searches."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def vectors():
    """Draw clustered unit vectors, rounded as a library keeps them."""
    draw = np.random.default_rng(17)
    rows = draw.standard_normal((80, DIM))[draw.integers(0, 80, COUNT)]
    rows = rows + 0.7 * draw.standard_normal((COUNT, DIM))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def queries(vectors):
    """Draw some queries near to what is there, and some that are near to nothing."""
    draw = np.random.default_rng(18)
    rows = vectors[draw.integers(0, COUNT, 9)] + 0.1 * draw.standard_normal((9, DIM))
    rows = np.concatenate([rows, draw.standard_normal((3, DIM))])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


WAYS = {
    "compared": {},
    "sketched": {"MAX_SCANNED_ROWS": 30, "MIN_COMPARED_ROWS": 300},
    "led": {"MAX_SCANNED_ROWS": 30, "GRAPH_CANDIDATE_SECONDS": 0.0},
}


@pytest.fixture
def go(monkeypatch):
    """Search the few rows of these tests in one of the ways in which many are."""

    def go_(way):
        for name, value in WAYS[way].items():
            monkeypatch.setattr(hnsw, name, value)

    return go_


@pytest.fixture
def sketched(go):
    """Let few rows be many, so that the sketch chooses among them."""
    go("sketched")


@pytest.fixture(scope="module")
def place(tmp_path_factory, vectors):
    """Draw a library of pictures, the last tenth of which no index reaches."""
    folder = tmp_path_factory.mktemp("drawn")
    with LibraryWriter(folder, lambda _: embedder()) as writer:
        insert(writer, range(1, 9 * COUNT // 10 + 1), vectors)
        build_indexes(writer, writer.catalog.space(), "hnsw")
        insert(writer, range(9 * COUNT // 10 + 1, COUNT + 1), vectors)
    return folder


def embedder():
    return SimpleNamespace(name="drawn", fingerprint="0", parts={}, dim=DIM)


def insert(writer, ids, vectors):
    """Insert pictures without files: their ids count from 1, and vector n is that of id n + 1."""
    many = writer.db.conn.executemany
    with writer.db.atomic():
        many(
            "INSERT INTO contents (id, hash, reader, segments) VALUES (?, ?, 'picture', 1)",
            ((id_, id_.to_bytes(32, "big")) for id_ in ids),
        )
        many(
            "INSERT INTO segments (id, content, ordinal, kind) VALUES (?, ?, 0, 'image')",
            ((id_, id_) for id_ in ids),
        )
        many(
            f"INSERT INTO {vectors_table(writer.space_id)} VALUES (?, ?)",
            ((id_, vectors[id_ - 1].astype(np.float16).tobytes()) for id_ in ids),
        )


def pass_some(how, share, query, vectors):
    """Return the ids that pass: any, those nearest to the query, or those farthest from it."""
    size, order = max(3, int(share * len(vectors))), np.argsort(vectors @ query)
    rows = {
        "uncorrelated": np.random.default_rng(3).permutation(len(vectors))[:size],
        "correlated": order[-size:],
        "anti-correlated": order[:size],
    }[how]
    return np.sort(rows).astype(np.int64) + 1


def truth(query, vectors, allowed, count):
    """Return scores and ids by comparing all, with nothing of ours."""
    scores = np.einsum("d,nd->n", query, vectors[allowed - 1])
    order = np.lexsort((allowed, -scores))[:count]
    return scores[order], allowed[order]


def nearest_of(place, allowed=None):
    catalog = Catalog.open(place)
    nearest = SpaceIndex(catalog, catalog.space())
    if allowed is not None:
        nearest._allowed_ids[SOME] = allowed
    return nearest


@pytest.fixture(scope="module")
def built(vectors):
    """Build each kind of index."""
    ids = np.arange(1, COUNT + 1, dtype=np.int64)
    return {each: FaissIndex.build(each, vectors, iter([(ids, vectors)]), COUNT) for each in METHODS}


@pytest.mark.parametrize(
    ("method", "way"), [("flat", "compared"), ("ivf", "compared"), *(("hnsw", way) for way in WAYS)]
)
@pytest.mark.parametrize("how", ["uncorrelated", "correlated", "anti-correlated"])
@pytest.mark.parametrize("share", SHARES)
def test_an_index_finds_the_best_of_any_that_pass(built, go, vectors, queries, method, way, how, share):
    go(way)
    hits = []
    for query in queries:
        allowed = pass_some(how, share, query, vectors)
        wanted = 400 if how == "anti-correlated" else 40  # these are closer than 6 bits can tell
        scores, found = built[method].search(query[None], wanted, allowed)
        there = min(wanted, len(allowed))
        assert np.isin(found[0, :there], allowed).all()
        assert (found[0, there:] == -1).all()
        own = vectors[found[0, :there] - 1] @ query
        np.testing.assert_allclose(scores[0, :there], own, atol=1e-3 if method == "flat" else 0.05)
        hits.append(np.isin(truth(query, vectors, allowed, 10)[1], found[0]).mean())
    assert np.mean(hits) > 0.99


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["uncorrelated", "correlated", "anti-correlated"])
@pytest.mark.parametrize("share", SHARES)
def test_a_filtered_answer_is_exact_to_the_score_with_a_tail(
    place, go, vectors, queries, way, how, share, monkeypatch
):
    go(way)
    monkeypatch.setattr(
        "retrieval.vectors.space_index.MAX_EXACT_SCAN_VECTORS", 2
    )  # so that few go through the index, too
    nearest = nearest_of(place)
    for query in queries:
        allowed = nearest._allowed_ids[SOME] = pass_some(how, share, query, vectors)
        for count in (1, 10, 60):
            scores, found = nearest.search(query[None], "image", count, SOME)
            true_scores, best = truth(query, vectors, allowed, count)
            np.testing.assert_array_equal(found, best)
            np.testing.assert_allclose(scores, true_scores, atol=1e-6)


def test_ids_that_no_index_knows_take_no_places(built, sketched, vectors, queries):
    allowed = np.concatenate([[-5, 0], np.arange(1, COUNT + 1, 3), COUNT + np.arange(1, 9_999)])
    there = allowed[(allowed > 0) & (allowed <= COUNT)]
    for method in METHODS:
        for query in queries:
            _, found = built[method].search(query[None], 40, allowed)
            assert np.isin(found, there).all()
            assert np.isin(truth(query, vectors, there, 10)[1], found).all()


def test_what_was_purged_takes_no_places(tmp_path, sketched, vectors, queries):
    with LibraryWriter(tmp_path, lambda _: embedder()) as writer:
        insert(writer, range(1, FEWER + 1), vectors)
        build_indexes(writer, writer.catalog.space(), "hnsw")
        order = np.argsort(-vectors[:FEWER] @ queries[0])
        purged = [int(id_) for id_ in order[:300] + 1]
        with writer.db.atomic():
            for table, column in ((vectors_table(writer.space_id), "segment"), ("segments", "id")):
                writer.db.conn.executemany(f"DELETE FROM {table} WHERE {column} = ?", zip(purged))
    left = np.setdiff1d(np.arange(2, FEWER + 1, 2), purged)
    nearest = nearest_of(tmp_path, np.arange(2, FEWER + 1, 2))
    scores, found = nearest.search(queries[:1], "image", 10, SOME)
    true_scores, best = truth(queries[0], vectors, left, 10)
    np.testing.assert_array_equal(found, best)
    np.testing.assert_allclose(scores, true_scores, atol=1e-6)


def test_vectors_that_are_all_the_same_are_all_found(sketched):
    same = np.tile(np.array([[1, 0, 0, 0]], np.float32), (500, 1))
    ids = np.arange(500, dtype=np.int64)
    index = FaissIndex.build("hnsw", same, iter([(ids, same)]), 500)
    _, found = index.search(same[:1], 300, ids[::2])
    assert set(found[0]) == {*ids[::2], -1}


def test_more_is_compared_until_the_best_are_well_within_it(sketched, built, vectors, queries, monkeypatch):
    """Bits that say nothing of nearness cost time, not answers."""
    draw = np.random.default_rng(1)
    noise = draw.integers(0, 256, COUNT).astype(np.int32)
    monkeypatch.setattr(lsh_sketch.LshSketch, "distances", lambda self, query, rows: noise[rows])
    allowed = np.arange(1, COUNT + 1, 2)
    hits = [
        np.isin(truth(query, vectors, allowed, 10)[1], built["hnsw"].search(query[None], 40, allowed)[1])
        for query in queries
    ]
    assert np.mean(hits) > 0.9


@pytest.mark.parametrize("share", [0.05, 0.6])
def test_picked_bits_are_counted_as_all_bits_are(built, vectors, queries, share, monkeypatch):
    monkeypatch.setattr(lsh_sketch, "CHUNK_ROWS", 64)
    sketched = built["hnsw"]._graph.sketch
    rows = np.flatnonzero(np.random.default_rng(2).random(COUNT) < share)
    bits = np.unpackbits(sketched.codes, axis=1) != np.unpackbits(
        sketched.index.sa_encode(queries[:1]), axis=1
    )
    np.testing.assert_array_equal(sketched.distances(queries[:1], rows), bits[rows].sum(axis=1))


@pytest.mark.parametrize("copied", [0.0, 1.0])
def test_rows_that_are_copied_score_as_rows_that_are_left_in_place(built, queries, copied, monkeypatch):
    monkeypatch.setattr(flat, "MAX_COPIED_SHARE", copied)
    storage, rows = built["hnsw"]._graph.storage, np.arange(5, COUNT, 7)
    scores, best = flat.search(storage, queries, 50, rows)
    every, order = storage.search(queries, COUNT)
    for one, two, all_, where in zip(scores, best, every, order, strict=True):
        keep = np.isin(where, rows)
        np.testing.assert_array_equal(two, where[keep][:50])
        np.testing.assert_allclose(one, all_[keep][:50], rtol=1e-6)


@settings(max_examples=200)
@given(ids=st.sets(st.integers(0, 60)), allowed=st.sets(st.integers(-5, 70)))
def test_the_rows_of_what_passes_are_those_of_its_ids(ids, allowed):
    own, some = np.array(sorted(ids), np.int64), np.array(sorted(allowed), np.int64)
    passing = IdFilter(own)
    for _ in range(2):  # the second time they are remembered
        assert list(own[passing.rows(some)]) == sorted(ids & allowed)


@settings(max_examples=100)
@given(allowed=st.sets(st.integers(0, 60)), count=st.integers(1, 70))
def test_exact_search_of_some_is_that_of_an_index_of_them(allowed, count):
    draw = np.random.default_rng(4)
    vectors, ids = draw.standard_normal((50, 3), np.float32), np.arange(0, 100, 2)
    some = np.array(sorted(allowed), np.int64)
    keep = [row for row, id_ in enumerate(ids) if id_ in allowed]
    scores, found = ExactIndex(ids, vectors).search(vectors[:2], count, some)
    true_scores, best = ExactIndex(ids[keep], vectors[keep]).search(vectors[:2], count)
    np.testing.assert_array_equal(found, best)
    np.testing.assert_allclose(scores, true_scores, atol=1e-6)


@pytest.fixture
def old(tmp_path, vectors, monkeypatch):
    """Make a library as clew 0.2 did: a graph without a sketch."""

    def create(dim, count):
        return faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_6bit, 24, faiss.METRIC_INNER_PRODUCT)

    with LibraryWriter(tmp_path, lambda _: embedder()) as writer, monkeypatch.context() as then:
        then.setattr(hnsw, "create", create)
        then.setitem(FILE_FORMATS, "hnsw", "hnsw")
        insert(writer, range(1, FEWER + 1), vectors)
        build_if_due(writer, "hnsw")
    return tmp_path


def test_an_older_graph_answers_and_is_brought_up_by_the_next_run(old, sketched, vectors, queries):
    allowed = pass_some("uncorrelated", 0.3, queries[0], vectors[:FEWER])
    answers = []
    for _ in range(2):
        nearest = nearest_of(old, allowed)
        answers.append((nearest.indexes["image"]._graph.sketch is None, nearest.damage))
        for query in queries:
            _, found = nearest.search(query[None], "image", 10, SOME)
            np.testing.assert_array_equal(found, truth(query, vectors, allowed, 10)[1])
        with LibraryWriter(old) as writer:
            build_if_due(writer)
    assert answers == [(True, None), (False, None)]
    assert len(list((old / "indexes").iterdir())) == 1


def test_a_damaged_graph_answers_filtered_queries_and_is_built_again(old, vectors, queries):
    with LibraryWriter(old) as writer:
        build_if_due(writer)
        (file,) = (old / "indexes").iterdir()
        allowed = pass_some("uncorrelated", 0.3, queries[0], vectors[:FEWER])
        for harm in (file.unlink, lambda: file.write_bytes(file.read_bytes()[:-9]), lambda: flip(file)):
            harm()
            nearest = nearest_of(old, allowed)
            _, found = nearest.search(queries[:1], "image", 10, SOME)
            if harm is not flip and nearest.damage:
                np.testing.assert_array_equal(found, truth(queries[0], vectors, allowed, 10)[1])
            assert len(verify(writer, repair=True).repaired) == 1
            assert verify(writer).errors == []


def flip(file):
    """Flip a bit of the sketch, which is at the beginning of the file."""
    whole = bytearray(file.read_bytes())
    whole[len(whole) // 10] ^= 1
    file.write_bytes(whole)
