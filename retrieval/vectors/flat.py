"""All rows as float16, compared one by one: exact, 2 bytes a dimension."""

import faiss
import numpy as np

from retrieval.types import Ids, Scores, Vectors

SEARCH_EFFORTS = (0,)  # there is nothing to spare
MAX_COPIED_SHARE = (
    0.1  # of the rows; of more, asking of each whether it passes is quicker than copying those that do
)


def sample_size(count: int) -> int:
    """Say how many vectors it learns from: none, but FAISS wants to be asked."""
    return 1


def create(dim: int, count: int) -> faiss.Index:
    """Make an empty index of float16 rows."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def search(
    index: faiss.IndexScalarQuantizer, queries: Vectors, count: int, rows: Ids | None = None
) -> tuple[Scores, Ids]:
    """Compare each query with all rows, or with these, and return the scores and rows of the best `count`."""
    if rows is None:
        scores, best = index.search(queries, count)
        return scores, best
    if len(rows) > MAX_COPIED_SHARE * index.ntotal:
        scores, best = index.search(queries, count, params=faiss.SearchParameters(sel=selector(rows)))
        return scores, best
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    some = faiss.IndexScalarQuantizer(index.d, index.sq.qtype, index.metric_type)
    some.sq, some.is_trained = index.sq, True
    some.add_sa_codes(np.take(codes.reshape(-1, index.code_size), rows, axis=0))
    scores, at = some.search(queries, count)
    return scores, np.where(at >= 0, np.append(rows, -1)[at], -1)


def selector(members: Ids) -> faiss.IDSelectorBitmap:
    """Return a selector of these rows or ids, ascending: one bit each, up to the last."""
    mask = np.zeros(int(members[-1]) + 1 if len(members) else 1, dtype=bool)
    mask[members] = True
    return faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
