"""An inverted file: rows in lists by nearest centroid, with one bit per dimension, and 6 bits of each row.

A query compares the bits of the rows in the nearest lists, and then the 6 bits of the best of them; a row
takes 470 bytes at 512 dimensions. Inverted file: Jégou, Douze & Schmid, TPAMI 2011. One bit per dimension
(RaBitQ): Gao & Long, SIGMOD 2024. Comparing 32 rows at a time: André, Kermarrec & Le Scouarnec, VLDB 2015.
"""

import faiss
import numpy as np

from retrieval.types import Ids, Scores, Vectors
from retrieval.vectors import flat

OVERSAMPLING_FACTOR = 20  # rows in the searched lists for each of the best; fewer lower the recall
MIN_COMPARED_ROWS = 1_000  # whose 6 bits are compared: the best by one bit
COMPARED_FACTOR = 10  # compared rows for each of the best, if that is more
SEARCH_EFFORTS = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # nprobe: lists searched
ROWS_AT_ONCE = 32  # compared together

# Costs under a filter, for 1M x 512 on one core: comparing the bits of a row, or its 6 bits.
BITS_SECONDS, ROW_SECONDS = 10e-9, 250e-9


def list_count(count: int) -> int:
    """Return the number of lists for `count` rows: about 4 times the square root."""
    return max(1, min(int(4 * count**0.5), count // 39))


def sample_size(count: int) -> int:
    """Return the number of vectors for training the centroids: 40 per list."""
    return min(count, 40 * list_count(count))


def create(dim: int, count: int) -> faiss.Index:
    """Create a pair of empty lists and empty rows, which FAISS fills together."""
    centroids = faiss.IndexFlatIP(dim)
    lists = faiss.IndexIVFRaBitQFastScan(
        centroids, dim, list_count(count), faiss.METRIC_INNER_PRODUCT, ROWS_AT_ONCE
    )
    lists.cp.seed, lists.cp.niter = 1, 10
    rows = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_6bit, faiss.METRIC_INNER_PRODUCT)
    pair = faiss.IndexRefine(lists, rows)
    for part in (centroids, lists, rows):
        part.this.disown()  # `lists` owns the centroids now, and the pair the rest
    lists.own_fields = pair.own_fields = pair.own_refine_index = True
    return pair


class InvertedFile:
    """A pair of lists and rows, for searching; addressed by rows, not ids."""

    def __init__(self, pair: faiss.IndexRefine) -> None:
        self._pair = pair
        self._lists = faiss.downcast_index(pair.base_index)
        self._rows: faiss.Index | None = faiss.downcast_index(pair.refine_index)

    def search(
        self, queries: Vectors, count: int, search_effort: int, rows: Ids | None = None
    ) -> tuple[Scores, Ids]:
        """Return the scores and rows of the best `count` in the nearest lists, of all rows or of `rows`.

        A filter searches proportionally more lists, or compares all rows that pass if that is faster. The
        effort is tuned for the best ten. For more, so many lists are searched that OVERSAMPLING_FACTOR times
        as many rows are compared. If the lists contain too few, all are searched.
        """
        total, lists = max(1, self._lists.ntotal), self._lists.nlist
        available = self._lists.ntotal if rows is None else len(rows)
        effort = max(search_effort, OVERSAMPLING_FACTOR * count * lists / total)
        nearest = min(int(effort / max(available / total, 1e-6)), lists)
        lists_seconds = BITS_SECONDS * total * nearest / lists
        if rows is not None and self._rows is not None and ROW_SECONDS * len(rows) < lists_seconds:
            return flat.search(self._rows, queries, count, rows)
        for probes in (max(1, nearest), lists):
            scores, best = self._search_lists(queries, count, probes, rows)
            if (best[:, : min(count, available)] >= 0).all():
                break
        return scores, best

    def _search_lists(
        self, queries: Vectors, count: int, probes: int, rows: Ids | None
    ) -> tuple[Scores, Ids]:
        selector = None if rows is None else flat.selector(rows)
        compared = max(MIN_COMPARED_ROWS, COMPARED_FACTOR * count)
        parameters = faiss.IndexRefineSearchParameters(
            k_factor=compared / count,
            base_index_params=faiss.SearchParametersIVF(nprobe=probes, sel=selector),
        )
        scores, best = self._pair.search(queries, count, params=parameters)
        return scores, best


class OldInvertedFile(InvertedFile):
    """Lists of 8-bit rows and their ids, as clew 0.5 built them; rows are numbered in order of the ids."""

    def __init__(self, lists: faiss.IndexIVF, ids: Ids) -> None:
        self._lists, self._ids, self._rows = lists, ids, None

    def _search_lists(
        self, queries: Vectors, count: int, probes: int, rows: Ids | None
    ) -> tuple[Scores, Ids]:
        selector = None if rows is None else flat.selector(self._ids[rows])
        parameters = faiss.SearchParametersIVF(nprobe=probes, sel=selector)
        scores, best = self._lists.search(queries, count, params=parameters)
        return scores, np.where(best >= 0, np.searchsorted(self._ids, best), -1)


def stored_ids(lists: faiss.IndexIVF) -> Ids:
    """Return the ids in lists, ascending."""
    sizes = [(number, lists.invlists.list_size(number)) for number in range(lists.nlist)]
    parts = [faiss.rev_swig_ptr(lists.invlists.get_ids(number), size) for number, size in sizes if size]
    return np.sort(np.concatenate([*parts, np.empty(0, np.int64)]))
