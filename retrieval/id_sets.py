"""Sets of ids as ascending arrays.

Ids are small numbers, so a table of all of them is faster than sorting or hashing: for 500,000 ids
`np.unique` takes 360 ms, a table 2 ms.
"""

import numpy as np
from numpy.typing import NDArray

from retrieval.types import Ids

MIN_TABLE_IDS = 10_000  # fewer ids are sorted, which does not depend on how large they are

_NO_IDS: Ids = np.empty(0, np.int64)


def is_member(ids: Ids, members: Ids) -> NDArray[np.bool_]:
    """Return which of the ids are members."""
    table = np.zeros(max(ids.max(initial=0), members.max(initial=0)) + 1, bool)
    table[members] = True
    return table[ids]


def union(*parts: Ids) -> Ids:
    """Return all distinct ids, ascending."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return _NO_IDS
    if len(filled) == 1 and (filled[0][1:] > filled[0][:-1]).all():
        return filled[0]
    if sum(map(len, filled)) < MIN_TABLE_IDS:
        ids = np.sort(np.concatenate(filled))
        is_new = np.ones(len(ids), bool)
        np.greater(ids[1:], ids[:-1], out=is_new[1:])
        return ids[is_new]
    table = np.zeros(max(int(part.max()) for part in filled) + 1, bool)
    for part in filled:
        table[part] = True
    return np.flatnonzero(table)
