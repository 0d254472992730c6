"""An inverted file: 8-bit rows in lists by nearest centroid; a query searches the nearest lists.

Inverted file with a scalar quantizer: Jégou, Douze & Schmid, TPAMI 2011.
"""

import faiss

from retrieval.types import Ids, Scores, Vectors
from retrieval.vectors import flat

OVERSAMPLING_FACTOR = 20  # rows in the searched lists for each of the best; fewer lower the recall
SEARCH_EFFORTS = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)  # nprobe: lists searched


def list_count(count: int) -> int:
    """Return the number of lists for `count` rows: about 4 times the square root."""
    return max(1, min(int(4 * count**0.5), count // 39))


def sample_size(count: int) -> int:
    """Return the number of vectors for training the centroids: 40 per list."""
    return min(count, 40 * list_count(count))


def create(dim: int, count: int) -> faiss.Index:
    """Create an index of empty lists."""
    quantizer = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dim, list_count(count), faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
    )
    quantizer.this.disown()  # the lists own it now
    index.own_fields = True
    index.cp.seed = 1
    index.cp.niter = 10
    return index


def search(
    index: faiss.IndexIVF, queries: Vectors, count: int, search_effort: int, allowed: Ids | None
) -> tuple[Scores, Ids]:
    """Return the best `count` ids in the nearest lists; a filter searches proportionally more of them.

    The effort is tuned for the best ten. For more, so many lists are searched that OVERSAMPLING_FACTOR times
    as many rows are compared. If the lists contain too few, all are searched.
    """
    available = index.ntotal if allowed is None else len(allowed)
    selector = None if allowed is None else flat.selector(allowed)
    effort = max(search_effort, OVERSAMPLING_FACTOR * count * index.nlist / max(1, index.ntotal))
    for share in (available / max(1, index.ntotal), 0.0):
        nearest = min(int(effort / max(share, 1e-6)), index.nlist)
        parameters = faiss.SearchParametersIVF(nprobe=max(1, nearest), sel=selector)
        scores, ids = index.search(queries, count, params=parameters)
        if (ids[:, : min(count, available)] >= 0).all():
            break
    return scores, ids
