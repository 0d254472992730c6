"""A graph of near neighbours over 6 bits a dimension, and about 210 bytes a row.

Hierarchical navigable small worlds: Malkov & Yashunin, TPAMI 2018.
"""

import faiss

NEIGHBOURS, BUILD_EFFORT, SAMPLE = 24, 100, 20_000
EFFORTS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)  # candidates kept on the way


def sample(count: int) -> int:
    """Say how many vectors it learns the range of a dimension from."""
    return min(count, SAMPLE)


def create(dim: int, count: int) -> faiss.Index:
    """Make an empty graph; without the metric faiss would take L2."""
    index = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_6bit, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_EFFORT
    return index


def parameters(effort: int, share: float, selector: faiss.IDSelector | None) -> object:
    """Say how many candidates to keep; filtered searches scan the rows instead (see FaissIndex)."""
    if selector is not None:
        return faiss.SearchParameters(sel=selector)
    return faiss.SearchParametersHNSW(efSearch=effort)
