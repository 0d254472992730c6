"""A graph of near neighbors with 6 bits per dimension and about 210 bytes per row, and a sketch.

Hierarchical navigable small worlds: Malkov & Yashunin, TPAMI 2018. The sketch, 64 bytes per row, finds the
links of the graph when it is built, and the rows at which a search enters it (Oguri & Matsui, 2024). From
the top level a search sometimes ends in a wrong cluster, most of all for a query by words, which is not near
any image. The sketch also serves filters, because a graph search misses most of the few rows that pass. The
first search reads all of it.
"""

from functools import cached_property

import faiss
import numpy as np

from retrieval.types import Ids, Scores, Vectors
from retrieval.vectors import flat, lsh_sketch

NEIGHBORS_PER_NODE, EF_CONSTRUCTION, MAX_SAMPLE_ROWS = 24, 100, 20_000
SEARCH_EFFORTS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)  # efSearch: candidates kept

# A search enters the graph at the best rows of a sample of all. If clusters have no row in it, the recall is
# lower; comparing the sketches of a million's share takes 0.3 ms, those of MAX_ENTRY_ROWS 2.5 ms.
ENTRY_SHARE, MIN_ENTRY_ROWS, MAX_ENTRY_ROWS = 1 / 16, 1_024, 250_000
NEAR_ENTRIES, ENTRIES = 64, 16  # rows rescored after the sketch; those at which the search enters
FROM_ALL_ENTRIES = 2  # `search_type` of FAISS: one search from all entries

# Rows that are searched again after the build: a share of all, those farthest from their neighbors.
RELINKED_SHARE, RELINKED_AT_ONCE = 0.05, 1_000

# Costs under a filter, for 1M x 512 on one core (tests/bench/bench_search.py): comparing a row takes 250 ns,
# a candidate of the graph search 5 us, and the sketch of a row 5 ns, or 20 ns if rows are picked.
MAX_SCANNED_ROWS = 4_000  # allowed rows that are all compared, which takes a millisecond
GRAPH_CANDIDATE_SECONDS, SKETCH_ROW_SECONDS, SKETCH_PICKED_ROW_SECONDS = 5e-6, 5e-9, 20e-9  # seconds
OVERSAMPLING_FACTOR = 1.5  # times the expected number of candidates, so that usually enough pass


def sample_size(count: int) -> int:
    """Return the number of vectors from which the range of each dimension is learned."""
    return min(count, MAX_SAMPLE_ROWS)


def create(dim: int, count: int) -> faiss.Index:
    """Create a pair of an empty sketch and empty rows, which FAISS fills together; `link` makes the graph.

    The default metric would be L2.
    """
    rows = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_6bit, faiss.METRIC_INNER_PRODUCT)
    sketch = lsh_sketch.create(dim)
    pair = faiss.IndexRefine(sketch, rows)
    for part in (sketch, rows):
        part.this.disown()  # the pair owns it now
    pair.own_fields = pair.own_refine_index = True
    return pair


def link(pair: faiss.IndexRefine) -> None:
    """Replace the rows of a filled pair by a graph of them, whose links are found by the sketches.

    Building with compact codes: Wang et al., SIGMOD 2025. A build of 100,000 x 512 takes half the time of one
    that compares rows. At the same effort a search compares up to a third more rows; drawn vectors are found
    as often from an effort of 64, and up to a hundredth less often below.
    """
    sketch, rows = faiss.downcast_index(pair.base_index), faiss.downcast_index(pair.refine_index)
    nodes = faiss.IndexBinaryHNSW(8 * sketch.code_size, NEIGHBORS_PER_NODE)
    nodes.hnsw.efConstruction = EF_CONSTRUCTION
    nodes.add(lsh_sketch.LshSketch(sketch).codes)
    graph = faiss.IndexHNSWSQ()
    graph.d, graph.ntotal, graph.metric_type, graph.is_trained = rows.d, rows.ntotal, rows.metric_type, True
    graph.hnsw = nodes.hnsw  # a copy
    graph.hnsw.is_similarity = True
    del nodes  # 270 bytes a row
    graph.storage = rows
    pair.refine_index = graph  # the pair owns it now
    graph.own_fields = True
    Graph(pair).relink()


class Graph:
    """A graph and its sketch, for searching; addressed by rows, not ids."""

    def __init__(self, index: faiss.Index) -> None:
        pair = faiss.downcast_index(index)
        is_pair = isinstance(pair, faiss.IndexRefine)  # clew 0.2 built graphs without a sketch
        self.graph = faiss.downcast_index(pair.refine_index) if is_pair else pair
        self.storage = faiss.downcast_index(self.graph.storage)
        self._lsh_index = faiss.downcast_index(pair.base_index) if is_pair else None

    @cached_property
    def sketch(self) -> lsh_sketch.LshSketch | None:
        """Return the sketch, None if the graph was built without one."""
        return None if self._lsh_index is None else lsh_sketch.LshSketch(self._lsh_index)

    @cached_property
    def _entry_sample(self) -> lsh_sketch.SketchSample | None:
        size = max(MIN_ENTRY_ROWS, min(int(ENTRY_SHARE * self.storage.ntotal), MAX_ENTRY_ROWS))
        return None if self.sketch is None else self.sketch.sample(size)

    def search(
        self, queries: Vectors, count: int, search_effort: int, rows: Ids | None = None
    ) -> tuple[Scores, Ids]:
        """Return the scores and rows of the best `count` of each query, of all rows or of `rows`."""
        if rows is not None:
            with flat.limited_threads(1):
                each = [self._search_filtered(query[None], count, search_effort, rows) for query in queries]
            return np.concatenate([scores for scores, _ in each]), np.concatenate([best for _, best in each])
        parameters = faiss.SearchParametersHNSW(efSearch=max(search_effort, count))
        if self._entry_sample is None:
            scores, best = self.graph.search(queries, count, params=parameters)
        else:
            scores, best = self._search_from_entries(self._entry_sample, queries, count, parameters)
        # The graph does not reach all of many equal vectors.
        incomplete = (best[:, : min(count, self.storage.ntotal)] < 0).any(axis=1)
        if incomplete.any():
            scores[incomplete], best[incomplete] = self.storage.search(queries[incomplete], count)
        return scores, best

    def _search_from_entries(
        self,
        sample: lsh_sketch.SketchSample,
        queries: Vectors,
        count: int,
        parameters: faiss.SearchParameters,
    ) -> tuple[Scores, Ids]:
        """Search the lowest level of the graph from the best of the sampled rows of each query.

        FAISS 1.12 and 1.13 expected negative scores of entries.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        entries = np.empty((len(queries), ENTRIES), np.int32)
        entry_scores = np.empty((len(queries), ENTRIES), np.float32)
        with flat.limited_threads(1):
            for at, query in enumerate(queries):
                near = sample.nearest(query[None], NEAR_ENTRIES)
                entry_scores[at], entries[at] = flat.search(self.storage, query[None], ENTRIES, near)
        scores, best = np.empty((len(queries), count), np.float32), np.empty((len(queries), count), np.int64)
        pointers = [faiss.swig_ptr(each) for each in (queries, entries, entry_scores, scores, best)]
        self.graph.search_level_0(
            len(queries), pointers[0], count, *pointers[1:], ENTRIES, FROM_ALL_ENTRIES, parameters
        )
        return scores, best

    def relink(self) -> None:
        """Link the rows that are far from their neighbors to nearer rows.

        FAISS inserts a row where a search from the top level ends, which may be in a wrong cluster. Then
        hardly any search finds it: one row in a hundred of a million drawn ones, linked by their vectors.
        """
        assert self.sketch is not None
        links, total = Links(self.graph), self.storage.ntotal
        codes = faiss.rev_swig_ptr(self.storage.codes.data(), total * self.storage.code_size)
        codes = codes.reshape(total, -1)
        chunks = np.array_split(np.arange(total), 1 + total // RELINKED_AT_ONCE)
        reach = np.concatenate(
            [self.sketch.distances_to(rows, links.of(rows)).min(axis=1) for rows in chunks]
        )
        far = np.sort(np.argsort(-reach, kind="stable")[: int(RELINKED_SHARE * total)])
        for rows in np.array_split(far, 1 + len(far) // RELINKED_AT_ONCE):
            vectors = self.storage.sa_decode(codes[rows])
            _, near = self.search(vectors, NEIGHBORS_PER_NODE + 1, EF_CONSTRUCTION)
            nearer = self.sketch.distances_to(rows, near).min(axis=1) < reach[rows]
            for row, found in zip(rows[nearer], near[nearer], strict=True):
                links.add(row, found[(found >= 0) & (found != row)][:NEIGHBORS_PER_NODE])

    def _search_filtered(
        self, query: Vectors, count: int, search_effort: int, rows: Ids
    ) -> tuple[Scores, Ids]:
        """Search only these rows, by the fastest method."""
        if self.sketch is None or len(rows) <= MAX_SCANNED_ROWS:
            return flat.search(self.storage, query, count, rows)
        total = self.storage.ntotal
        sketch_seconds = min(SKETCH_ROW_SECONDS * total, SKETCH_PICKED_ROW_SECONDS * len(rows))
        if GRAPH_CANDIDATE_SECONDS * search_effort * total / len(rows) < sketch_seconds:
            scores, near = self._graph_filtered(query, count, search_effort, rows)
            if near.shape[1] == count:
                return scores, near
        distances = self.sketch.distances(query, rows)
        return lsh_sketch.compare_nearest(self.storage, query, count, rows, distances)

    def _graph_filtered(
        self, query: Vectors, count: int, search_effort: int, rows: Ids
    ) -> tuple[Scores, Ids]:
        """Return the rows among the best of the graph, at most `count`.

        The search keeps more candidates, as only some pass. If few of those near the query pass, fewer than
        `count` rows are returned.
        """
        more = self.storage.ntotal / len(rows)
        scores, near = self.search(query, int(OVERSAMPLING_FACTOR * count * more), int(search_effort * more))
        passes = rows[np.minimum(np.searchsorted(rows, near[0]), len(rows) - 1)] == near[0]
        return scores[:, passes][:, :count], near[:, passes][:, :count]


class Links:
    """The lowest level of a graph: up to twice NEIGHBORS_PER_NODE neighbors of each row, then -1."""

    def __init__(self, graph: faiss.IndexHNSW) -> None:
        levels = graph.hnsw
        self._neighbors = faiss.rev_swig_ptr(levels.neighbors.data(), levels.neighbors.size())
        self._starts = faiss.vector_to_array(levels.offsets)[:-1].astype(np.int64)
        self._width = levels.nb_neighbors(0)

    def of(self, rows: Ids) -> Ids:
        """Return a copy of the neighbors of rows, (n, width)."""
        return np.asarray(self._neighbors[self._starts[rows][:, None] + np.arange(self._width)], np.int64)

    def add(self, row: int, others: Ids) -> None:
        """Link a row to others, best first, before its neighbors, and back from those that have room."""
        own = self._links_of(row)
        linked = np.concatenate([others, own[(own >= 0) & ~np.isin(own, others)]])[: self._width]
        own[: len(linked)] = linked
        lists = [theirs for theirs in map(self._links_of, others) if row not in theirs]
        for theirs in [each for each in lists if each[-1] < 0] or lists[:1]:
            theirs[np.argmax(theirs < 0) if theirs[-1] < 0 else -1] = row

    def _links_of(self, row: int) -> Ids:
        start = self._starts[row]
        links: Ids = self._neighbors[start : start + self._width]
        return links
