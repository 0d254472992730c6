"""An index of float16 rows that are all compared: exact, 2 bytes per dimension."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.types import Ids, Scores, Vectors

Mask: TypeAlias = NDArray[np.bool_]

SEARCH_EFFORTS = (0,)  # the search is always exhaustive
MAX_COPIED_SHARE = 0.1  # of the rows; above it, testing every row is faster than copying the allowed ones


def sample_size(count: int) -> int:
    """Return the number of training vectors: one, because FAISS requires a training step."""
    return 1


def create(dim: int, count: int) -> faiss.Index:
    """Create an empty index of float16 rows."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def search(
    index: faiss.IndexScalarQuantizer,
    queries: Vectors,
    count: int,
    rows: Ids | None = None,
    max_copied_share: float = MAX_COPIED_SHARE,
) -> tuple[Scores, Ids]:
    """Return the scores and rows of the best `count` of all rows, or of `rows`."""
    if rows is None:
        scores, best = index.search(queries, count)
        return scores, best
    if len(rows) > max_copied_share * index.ntotal:
        scores, best = index.search(queries, count, params=faiss.SearchParameters(sel=selector(rows)))
        return scores, best
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    copied = faiss.IndexScalarQuantizer(index.d, index.sq.qtype, index.metric_type)
    copied.sq, copied.is_trained = index.sq, True
    copied.add_sa_codes(np.take(codes.reshape(-1, index.code_size), rows, axis=0))
    scores, at = copied.search(queries, count)
    return scores, np.where(at >= 0, np.append(rows, -1)[at], -1)


@contextmanager
def limited_threads(queries: int) -> Iterator[None]:
    """Limit FAISS to a thread for each query: others have no work, and wait in a loop that takes a core."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(min(before, max(1, queries)))  # of this thread only
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def selector(members: Ids) -> faiss.IDSelectorBitmap:
    """Return a selector of ascending rows or ids, with one bit for each number up to the last."""
    size = int(members[-1]) + 1 if len(members) else 1
    return faiss.IDSelectorBitmap(np.packbits(mask(members, size), bitorder="little"))


def mask(members: Ids, size: int) -> Mask:
    """Return True for each of `size` rows that is a member."""
    is_member = np.zeros(size, dtype=bool)
    is_member[members] = True
    return is_member
