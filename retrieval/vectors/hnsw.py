"""A graph of near neighbours over 6 bits a dimension and about 210 bytes a row, and beside it a sketch.

Hierarchical navigable small worlds: Malkov & Yashunin, TPAMI 2018. The sketch, 64 bytes a row, is for
filters: a graph does not lead to the few that pass. Its pages are read only then.
"""

from functools import cached_property

import faiss
import numpy as np

from retrieval.types import Ids, Scores, Vectors
from retrieval.vectors import flat, lsh_sketch

NEIGHBORS_PER_NODE, EF_CONSTRUCTION, MAX_SAMPLE_ROWS = 24, 100, 20_000
SEARCH_EFFORTS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)  # candidates kept on the way

# Under a filter, from 1M x 512 on one core (tests/bench/bench_search.py): comparing a row takes 250 ns, and
# keeping a candidate on the way through the graph 5 us; a row's bits take 5 ns, or 20 where rows are picked.
MAX_SCANNED_ROWS = 4_000  # rows that pass: so few are all compared, within a millisecond
GRAPH_CANDIDATE_SECONDS, SKETCH_ROW_SECONDS, SKETCH_PICKED_ROW_SECONDS = 5e-6, 5e-9, 20e-9  # seconds
OVERSAMPLING_FACTOR = 1.5  # times the candidates that should do, so that mostly enough of them pass
MIN_COMPARED_ROWS, MIN_COMPARED_SHARE, GROWTH_FACTOR = (
    1_000,
    0.01,
    4,
)  # rows compared after the sketch; then so many times as many
MAX_COMPARED_SHARE = 0.25  # of the rows; where so many would have to be compared, the sketch tells nothing


def sample_size(count: int) -> int:
    """Say how many vectors it learns the range of a dimension from."""
    return min(count, MAX_SAMPLE_ROWS)


def create(dim: int, count: int) -> faiss.Index:
    """Make an empty graph (without the metric faiss would take L2) and its sketch.

    FAISS fills and keeps them as a pair, of which each is searched by itself.
    """
    graph = faiss.IndexHNSWSQ(
        dim, faiss.ScalarQuantizer.QT_6bit, NEIGHBORS_PER_NODE, faiss.METRIC_INNER_PRODUCT
    )
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    beside = lsh_sketch.create(dim)
    pair = faiss.IndexRefine(beside, graph)
    for part in (beside, graph):
        part.this.disown()  # the pair owns it now
    pair.own_fields = pair.own_refine_index = True
    return pair


class Graph:
    """The pair, for reading; rows go in and come out, never ids."""

    def __init__(self, index: faiss.Index) -> None:
        pair = faiss.downcast_index(index)
        whole = isinstance(pair, faiss.IndexRefine)  # else an older clew built it, without a sketch
        self.graph = faiss.downcast_index(pair.refine_index) if whole else pair
        self.storage = faiss.downcast_index(self.graph.storage)
        self._lsh_index = faiss.downcast_index(pair.base_index) if whole else None

    @cached_property
    def sketch(self) -> lsh_sketch.LshSketch | None:
        """Return the sketch, if there is one."""
        return None if self._lsh_index is None else lsh_sketch.LshSketch(self._lsh_index)

    def search(
        self, queries: Vectors, count: int, search_effort: int, rows: Ids | None = None
    ) -> tuple[Scores, Ids]:
        """Return the scores and rows of the best `count` of each query: of all rows, or of these."""
        if rows is not None:
            each = [
                self._search_filtered(queries[at : at + 1], count, search_effort, rows)
                for at in range(len(queries))
            ]
            return np.concatenate([scores for scores, _ in each]), np.concatenate([best for _, best in each])
        parameters = faiss.SearchParametersHNSW(efSearch=max(search_effort, count))
        scores, best = self.graph.search(queries, count, params=parameters)
        if (best[:, : min(count, self.storage.ntotal)] < 0).any():
            scores, best = self.storage.search(queries, count)  # the graph does not lead to all equals
        return scores, best

    def _search_filtered(
        self, query: Vectors, count: int, search_effort: int, rows: Ids
    ) -> tuple[Scores, Ids]:
        """Search these rows only, in the way that takes least time."""
        if self.sketch is None or len(rows) <= MAX_SCANNED_ROWS:
            return flat.search(self.storage, query, count, rows)
        every = self.storage.ntotal
        sketching = min(SKETCH_ROW_SECONDS * every, SKETCH_PICKED_ROW_SECONDS * len(rows))
        if GRAPH_CANDIDATE_SECONDS * search_effort * every / len(rows) < sketching:
            scores, near = self._graph_filtered(query, count, search_effort, rows)
            if near.shape[1] == count:
                return scores, near
        return self._sketch_filtered(self.sketch, query, count, rows)

    def _graph_filtered(
        self, query: Vectors, count: int, search_effort: int, rows: Ids
    ) -> tuple[Scores, Ids]:
        """Return those of the rows that the graph leads to among its best, at most `count`.

        It keeps more candidates, as only some pass. Those near a query may pass less often than others;
        they are too few then, but never wrong.
        """
        more = self.storage.ntotal / len(rows)
        scores, near = self.search(query, int(OVERSAMPLING_FACTOR * count * more), int(search_effort * more))
        passes = rows[np.minimum(np.searchsorted(rows, near[0]), len(rows) - 1)] == near[0]
        return scores[:, passes][:, :count], near[:, passes][:, :count]

    def _sketch_filtered(
        self, sketch: lsh_sketch.LshSketch, query: Vectors, count: int, rows: Ids
    ) -> tuple[Scores, Ids]:
        """Compare the rows that the sketch has nearest, and more until the best are well within them.

        If the better half of the best is in the nearer half of what was compared, hardly any is beyond. That
        holds for queries of any kind, where a fixed number would suit only those it was measured with.
        """
        distances = sketch.distances(query, rows)
        within = np.cumsum(np.bincount(distances))  # distance -> rows that are no farther
        reach = max(MIN_COMPARED_ROWS + int(MIN_COMPARED_SHARE * len(rows)), GROWTH_FACTOR * count)
        while True:
            inner, outer = np.searchsorted(within, (reach // 2, reach))
            near = rows[distances <= outer]
            scores, best = flat.search(self.storage, query, count, near)
            better = distances[np.searchsorted(rows, best[0, : (count + 1) // 2])]
            if len(near) == len(rows) or (better <= inner).all():
                return scores, best
            reach = (
                reach * GROWTH_FACTOR if reach * GROWTH_FACTOR < MAX_COMPARED_SHARE * len(rows) else len(rows)
            )
