"""Which rows of an index hold the ids that a filter lets pass."""

import numpy as np

from retrieval.types import Ids

MAX_CACHED_FILTERS = 4  # arrays of ids whose rows are remembered: those of a million take 8 MB


class IdFilter:
    """The ids of an index's rows, ascending, and the rows of those that were last asked about."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._cache: tuple[tuple[Ids, Ids], ...] = ()

    def rows(self, allowed: Ids) -> Ids:
        """Return the rows of these ids, both ascending; those that are not here have none.

        Asked with the same array, which nobody may change meanwhile, it answers at once.
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
        there: Ids = rows[self.ids[rows] == allowed]
        return there
