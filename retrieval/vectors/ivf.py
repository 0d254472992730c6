"""An inverted file: the sketches of rows in lists by nearest centroid, and 6 bits per dimension of each row.

A query compares the sketches in the nearest lists, and then the 6 bits of the best rows. A row takes 460
bytes at 512 dimensions. Inverted file: Jégou, Douze & Schmid, TPAMI 2011. Sketch: Charikar, STOC 2002.
"""

from functools import cached_property

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.types import Ids, Scores, Vectors
from retrieval.vectors import flat, lsh_sketch
from retrieval.vectors.flat import Mask

OVERSAMPLING_FACTOR = 20  # rows in the searched lists for each of the best; fewer lower the recall
SEARCH_EFFORTS = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # nprobe: lists searched
MAX_COMPARED_ROWS = 16_000  # of which a query that is far from all rows compares the 6 bits
PERIOD = 100.0  # of the sides of a plane: longer than a unit vector, so that there are two

# Costs under a filter, for 512 dimensions on one core: comparing the sketch of a row in a list, of ten
# million, or its 6 bits, of a million (bench_search.py; of ten million it takes longer).
SKETCH_ROW_SECONDS, ROW_SECONDS = 10e-9, 250e-9


def list_count(count: int) -> int:
    """Return the number of lists for `count` rows: about 4 times the square root."""
    return max(1, min(int(4 * count**0.5), count // 39))


def sample_size(count: int) -> int:
    """Return the number of vectors for training the centroids: 40 per list."""
    return min(count, 40 * list_count(count))


def create(dim: int, count: int) -> faiss.Index:
    """Create a pair of empty lists and empty rows, which FAISS fills together."""
    centroids = faiss.IndexFlatIP(dim)
    lists = faiss.IndexIVFSpectralHash(centroids, dim, list_count(count), lsh_sketch.plane_count(dim), PERIOD)
    lists.threshold_type = faiss.IndexIVFSpectralHash.Thresh_global
    lists.metric_type = faiss.METRIC_INNER_PRODUCT  # must equal that of the rows; a sketch itself has none
    # Centroids of other lengths give lists of very different sizes: up to 250,000 of ten million drawn rows.
    lists.cp.seed, lists.cp.niter, lists.cp.spherical = 1, 10, True
    rows = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_6bit, faiss.METRIC_INNER_PRODUCT)
    pair = faiss.IndexRefine(lists, rows)
    for part in (centroids, lists, rows):
        part.this.disown()  # `lists` owns the centroids now, and the pair the rest
    lists.own_fields = pair.own_fields = pair.own_refine_index = True
    return pair


class InvertedFile:
    """A pair of lists and rows, for searching; addressed by rows, not ids."""

    def __init__(self, pair: faiss.IndexRefine) -> None:
        self._lists = faiss.downcast_index(pair.base_index)
        self._rows = faiss.downcast_index(pair.refine_index)

    @cached_property
    def contents(self) -> list[tuple[NDArray[np.int32], lsh_sketch.Bits]]:
        """Return the rows and the sketches of each list."""
        stored, width = self._lists.invlists, self._lists.code_size
        lists = []
        for number in range(self._lists.nlist):
            if size := stored.list_size(number):
                codes = faiss.rev_swig_ptr(stored.get_codes(number), size * width).reshape(size, width)
                rows = faiss.rev_swig_ptr(stored.get_ids(number), size).astype(np.int32)
            else:
                codes, rows = np.empty((0, width), np.uint8), np.empty(0, np.int32)
            lists.append((rows, codes))
        return lists

    def sketch(self, vectors: Vectors) -> lsh_sketch.Bits:
        """Return the sketches of vectors (n, d) as in the lists: 1 is the negative side of a plane."""
        return np.packbits(self._lists.vt.apply(vectors) < 0, axis=1, bitorder="little")

    def search(
        self, queries: Vectors, count: int, search_effort: int, rows: Ids | None = None
    ) -> tuple[Scores, Ids]:
        """Return the scores and rows of the best `count` in the nearest lists, of all rows or of `rows`.

        A filter compares all rows that pass if that is faster.
        """
        total, lists = max(1, self._lists.ntotal), self._lists.nlist
        available = self._lists.ntotal if rows is None else len(rows)
        probes = probe_count(self._lists, count, search_effort, available)
        if rows is not None and ROW_SECONDS * available < SKETCH_ROW_SECONDS * total * probes / lists:
            return flat.search(self._rows, queries, count, rows)
        passes = None if rows is None else flat.mask(rows, total)
        wanted = min(count, available)
        with flat.limited_threads(1):  # FAISS is called for each query and list
            each = [self._search_lists(query[None], count, probes, passes, wanted) for query in queries]
        return np.concatenate([scores for scores, _ in each]), np.concatenate([best for _, best in each])

    def _search_lists(
        self, query: Vectors, count: int, probes: int, passes: Mask | None, wanted: int
    ) -> tuple[Scores, Ids]:
        """Search the nearest lists, or all if `wanted` rows that pass are not in them."""
        bits = self.sketch(query)
        for tried in (probes, self._lists.nlist):
            _, numbers = self._lists.quantizer.search(query, tried)
            contents = [self.contents[number] for number in numbers[0] if number >= 0]
            rows = np.concatenate([rows for rows, _ in contents])
            distances = np.empty(len(rows), np.int32)
            end = 0
            for _, codes in contents:
                start, end = end, end + len(codes)
                lsh_sketch.count_differences(bits, codes, distances[start:end])
            if passes is not None:
                rows, distances = rows[passes[rows]], distances[passes[rows]]
            if len(rows) >= wanted:
                break
        return lsh_sketch.compare_nearest(self._rows, query, count, rows, distances, MAX_COMPARED_ROWS)


class OldInvertedFile:
    """Lists of 8-bit rows and their ids, as clew 0.5 built them; rows are numbered in order of the ids."""

    def __init__(self, lists: faiss.IndexIVF, ids: Ids) -> None:
        self._lists, self._ids = lists, ids

    def search(
        self, queries: Vectors, count: int, search_effort: int, rows: Ids | None = None
    ) -> tuple[Scores, Ids]:
        """Return the scores and rows of the best `count` in the nearest lists, of all rows or of `rows`."""
        available = len(self._ids) if rows is None else len(rows)
        selector = None if rows is None else flat.selector(self._ids[rows])
        for probes in (probe_count(self._lists, count, search_effort, available), self._lists.nlist):
            parameters = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
            scores, best = self._lists.search(queries, count, params=parameters)
            if (best[:, : min(count, available)] >= 0).all():
                break
        return scores, np.where(best >= 0, np.searchsorted(self._ids, best), -1)


def probe_count(lists: faiss.IndexIVF, count: int, search_effort: int, available: int) -> int:
    """Return the number of lists to search for the best `count` of the rows that are available.

    The effort is tuned for the best ten. For more, so many lists are searched that OVERSAMPLING_FACTOR times
    as many rows are compared; a filter searches proportionally more.
    """
    total, all_lists = max(1, int(lists.ntotal)), int(lists.nlist)
    effort = max(search_effort, OVERSAMPLING_FACTOR * count * all_lists / total)
    return max(1, min(int(effort / max(available / total, 1e-6)), all_lists))


def stored_ids(lists: faiss.IndexIVF) -> Ids:
    """Return the ids in lists, ascending."""
    sizes = [(number, lists.invlists.list_size(number)) for number in range(lists.nlist)]
    parts = [faiss.rev_swig_ptr(lists.invlists.get_ids(number), size) for number, size in sizes if size]
    return np.sort(np.concatenate([*parts, np.empty(0, np.int64)]))
