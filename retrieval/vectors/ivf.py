"""Rows as bytes in lists by nearest centroid; a query looks into the nearest lists only.

Inverted file with a scalar quantizer: Jégou, Douze & Schmid, TPAMI 2011.
"""

import faiss

EFFORTS = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024)  # lists looked into


def create(dim: int, count: int) -> faiss.Index:
    """Make empty lists, about 4 times the square root of the rows."""
    lists = max(1, min(int(4 * count**0.5), count // 39))
    quantizer = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
    )
    quantizer.this.disown()  # the lists own it now
    index.own_fields = True
    index.cp.seed = 1
    index.cp.niter = 10
    return index


def parameters(effort: int, share: float, selector: faiss.IDSelector | None) -> object:
    """Say how many lists to look into: more of them where a filter lets only a share of rows pass."""
    lists = max(1, int(effort / max(share, 1e-6)))
    return faiss.SearchParametersIVF(nprobe=lists, sel=selector)
