"""All rows as float16, compared one by one: exact, 2 bytes a dimension."""

import faiss

EFFORTS = (0,)  # there is nothing to spare


def sample(count: int) -> int:
    """Say how many vectors it learns from: none, but FAISS wants to be asked."""
    return 1


def create(dim: int, count: int) -> faiss.Index:
    """Make an empty index of float16 rows."""
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def parameters(effort: int, share: float, selector: faiss.IDSelector | None) -> object:
    """Say which rows to look at."""
    return faiss.SearchParameters(sel=selector)
