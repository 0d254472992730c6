"""Answers of a library with several index files equal those of exact search over all its vectors."""

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.index_plan import FileSizes
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.schema import vectors_table
from retrieval.scoring.ranking import recall
from retrieval.types import Filters
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.faiss_index import FaissIndex
from retrieval.vectors.kind_ranking import MIN_EXACT_PROPOSALS
from retrieval.vectors.space_index import SpaceIndex
from tests.support.gap_vectors import GapVectors
from tests.support.vector_library import drawn_embedder, insert_vectors

DIM, MAX_VECTORS = 16, 1_500
GAP = GapVectors(DIM, clusters=20)
IMAGES = GAP.pairs(MAX_VECTORS, seed=1)[0].astype(np.float16).astype(np.float32)
IMAGES[1::50] = IMAGES[0]  # copies, which are ordered by id
QUERIES = GAP.pairs(3, seed=2)[1]
SIZES = FileSizes(max_unindexed=15, merge_ratio=2, min_file=20, max_small_file=200)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 120)),
        st.tuples(st.just("delete"), st.floats(0.01, 0.9)),
        st.tuples(st.just("build"), st.none()),
    ),
    min_size=3,
    max_size=12,
)


class Growing:
    """A library, and the ids of its vectors."""

    def __init__(self, writer):
        self.writer, self.ids, self.added = writer, np.empty(0, np.int64), 0
        self.index = SpaceIndex(writer.catalog, active_space(writer.catalog))

    def add(self, count):
        count = min(count, MAX_VECTORS - self.added)
        insert_vectors(self.writer, range(self.added + 1, self.added + count + 1), IMAGES)
        self.ids = np.append(self.ids, np.arange(self.added + 1, self.added + count + 1))
        self.added += count

    def delete(self, share):
        """Delete a share of the vectors, the oldest and some others."""
        gone = np.unique(
            np.append(self.ids[: int(share * len(self.ids) / 2)], self.ids[:: max(2, int(2 / share))])
        )
        self.delete_ids(gone)

    def delete_ids(self, gone):
        with self.writer.db.atomic():
            for table, column in ((vectors_table(self.writer.space_id), "segment"), ("segments", "id")):
                self.writer.db.conn.executemany(
                    f"DELETE FROM {table} WHERE {column} = ?", [(id_,) for id_ in gone.tolist()]
                )
        self.ids = np.setdiff1d(self.ids, gone)

    def build(self, method=None):
        build_if_due(self.writer, method, sizes=SIZES)

    def reopen(self):
        """Open the space as it is now, with what the reader before it has read."""
        self.index = SpaceIndex(self.writer.catalog, active_space(self.writer.catalog), self.index)

    def exact(self):
        return ExactIndex(self.ids, IMAGES[self.ids - 1])


@contextmanager
def growing():
    with (
        TemporaryDirectory() as folder,
        LibraryWriter(Path(folder) / "library", lambda _: drawn_embedder(DIM)) as writer,
    ):
        yield Growing(writer)


def assert_equals_exact_search(library, allowed=None):
    library.reopen()
    filters = None
    if allowed is not None:
        filters = Filters(under=("drawn",))
        library.index._allowed_ids[filters] = allowed
    count = min(10, len(library.ids if allowed is None else np.intersect1d(allowed, library.ids)))
    for query in QUERIES:
        scores, ids = library.index.search(query[None], "image", 10, filters)
        assert len(ids) == count
        if count:
            wanted = library.exact().search(query[None], count, allowed)
            np.testing.assert_array_equal(ids, wanted[1][0])
            np.testing.assert_allclose(scores, wanted[0][0], atol=1e-6)
    library.index._allowed_ids.clear()


@settings(max_examples=15, deadline=None)
@given(steps)
def test_exact_files_answer_as_exact_search_after_any_additions_deletions_and_merges(operations):
    with growing() as library:
        for name, value in operations:
            getattr(library, name)(*([] if value is None else [value]))
            assert_equals_exact_search(library)
            assert_equals_exact_search(library, np.arange(3, library.added, 2))
        library.build()
        assert_equals_exact_search(library)


def test_library_of_many_files_answers_as_exact_search_and_pages_list_each_segment_once():
    with growing() as library:
        for count in (1_000, 300, 100, 30):
            library.add(count)
            library.build()
        library.add(10)
        library.delete(0.05)
        library.reopen()
        assert len(library.index.indexes["image"]) == 4
        assert_equals_exact_search(library)
        pages = library.index.ranking(QUERIES[:1], "image").pages(10)
        ids = np.concatenate([ids for _, ids in pages])
        wanted = library.exact().search(QUERIES[:1], len(library.ids))[1][0]
        np.testing.assert_array_equal(ids, wanted)


@pytest.mark.parametrize("method", ["flat", "hnsw", "ivf"])
def test_vectors_after_many_deleted_ones_are_found_without_reading_those(method, monkeypatch):
    with growing() as library:
        library.add(MAX_VECTORS - 50)
        library.build(method)
        nearest = library.exact().search(QUERIES[:1], 900)[1][0]
        library.delete_ids(nearest)
        library.reopen()
        requested, search = [], FaissIndex.search

        def record(self, queries, count, *arguments):
            requested.append(count)
            return search(self, queries, count, *arguments)

        monkeypatch.setattr(FaissIndex, "search", record)
        assert_equals_exact_search(library)
        assert max(requested) < len(nearest)
        pages = library.index.ranking(QUERIES[:1], "image").pages(10)
        ids = np.concatenate([ids for _, ids in pages])
        np.testing.assert_array_equal(ids, library.exact().search(QUERIES[:1], len(library.ids))[1][0])
        library.add(50)
        library.delete_ids(ids[:20])
        assert_equals_exact_search(library)


def test_vectors_that_are_written_after_many_deleted_ones_were_skipped_are_found():
    with growing() as library:
        library.add(1_000)
        library.build("flat")
        late = np.arange(901, 1_001)
        with library.writer.db.atomic():
            library.writer.db.execute(
                f"DELETE FROM {vectors_table(library.writer.space_id)} WHERE segment >= 901"
            )
            library.writer.db.execute("UPDATE spaces SET complete = 0")
        library.ids = library.ids[:900]
        library.delete_ids(library.exact().search(QUERIES[:1], 620)[1][0])
        assert_equals_exact_search(library)
        library.writer.spaces.write_vectors(library.index.space, late.tolist(), IMAGES[late - 1])
        library.ids = np.append(library.ids, late)
        library.reopen()
        found = library.index.search(QUERIES[:1], "image", len(library.ids))[1]
        np.testing.assert_array_equal(found, library.exact().search(QUERIES[:1], len(library.ids))[1][0])


@pytest.mark.parametrize("method", ["flat", "hnsw", "ivf"])
def test_restricted_ranking_continues_with_a_small_page(method, monkeypatch):
    with growing() as library:
        library.add(MAX_VECTORS)
        library.build(method)
        library.reopen()
        order = library.exact().search(QUERIES[:1], MAX_VECTORS)[1][0]
        ranking = library.index.ranking(QUERIES[:1], "image")
        pages = ranking.pages(10)
        first = np.concatenate([next(pages)[1] for _ in range(3)])
        np.testing.assert_array_equal(first, order[:210])
        requested, search = [], FaissIndex.search

        def record(self, queries, count, *arguments):
            requested.append(count)
            return search(self, queries, count, *arguments)

        monkeypatch.setattr(FaissIndex, "search", record)
        ranking.restrict(np.sort(order[900:]))
        np.testing.assert_array_equal(next(pages)[1], order[900:910])
        assert max(requested) <= MIN_EXACT_PROPOSALS
        np.testing.assert_array_equal(np.concatenate([ids for _, ids in pages]), order[910:])


def test_graphs_of_several_files_keep_their_recall():
    with growing() as library:
        library.add(900)
        library.build("hnsw")
        library.add(400)
        library.build()
        library.add(100)
        library.build()
        library.delete(0.04)
        library.reopen()
        assert [file.method for file, _ in library.index.indexes["image"]] == ["hnsw", "hnsw", "flat"]
        queries = GAP.pairs(100, seed=3)[1]
        found = [library.index.search(query[None], "image", 10, mode="words")[0] for query in queries]
        assert recall(np.stack(found), library.exact().search(queries, 10)[0]) >= 0.995


@pytest.mark.parametrize("count", [0, 3])
def test_background_vectors_come_from_all_files_and_from_unindexed_vectors(count):
    with growing() as library:
        for added in (700, 100):
            library.add(added)
            library.build()
        library.add(count)
        library.reopen()
        rows = library.index.background_vectors("image")
        assert len(rows) == 500
        known = {row.tobytes(): at for at, row in reversed(list(enumerate(IMAGES)))}  # the first of copies
        positions = [known[row.tobytes()] for row in rows]
        assert max(positions) == library.added - 1
        assert sum(position >= 700 for position in positions) == pytest.approx(
            500 * (100 + count) / (800 + count), abs=2
        )
