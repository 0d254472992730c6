"""Map the allowed ids of a filter to the rows of an index."""

import numpy as np

from retrieval.types import Ids

MAX_CACHED_FILTERS = 4  # id arrays whose rows are cached; a million rows take 8 MB


class IdFilter:
    """The ascending ids of an index, with a cache of the rows of the last filters."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._cache: tuple[tuple[Ids, Ids], ...] = ()

    def rows(self, allowed: Ids) -> Ids:
        """Return the rows of the allowed ids that exist, both ascending.

        The rows are cached by the identity of the array, so it must not be changed.
        """
        for known, rows in self._cache:
            if known is allowed:
                return rows
        rows = self._find_rows(allowed)
        self._cache = ((allowed, rows), *self._cache[: MAX_CACHED_FILTERS - 1])
        return rows

    def _find_rows(self, allowed: Ids) -> Ids:
        if not len(self.ids):
            return np.empty(0, np.int64)
        allowed = allowed[slice(*np.searchsorted(allowed, (self.ids[0], self.ids[-1] + 1)))]
        rows: Ids = np.searchsorted(self.ids, allowed)
        existing: Ids = rows[self.ids[rows] == allowed]
        return existing
