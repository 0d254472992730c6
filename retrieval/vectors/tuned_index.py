"""An index with the search effort of a query mode: words lie farther from images than images do."""

from dataclasses import dataclass

from retrieval.scoring.calibration import QueryMode
from retrieval.types import Ids, IndexFile, Scores, TunedMode, Vectors
from retrieval.vectors.faiss_index import FaissIndex

# The tuned modes that a query is similar to. A mixed one has terms of both.
TUNED_LIKE: dict[QueryMode, tuple[TunedMode, ...]] = {
    "words": ("words",),
    "sum": ("words",),
    "difference": ("words",),
    "noise": ("words",),
    "picture": ("picture",),
    "mixed": ("words", "picture"),
}


@dataclass(frozen=True, slots=True)
class TunedIndex:
    """A vector index that is searched with one effort."""

    index: FaissIndex
    effort: int

    @classmethod
    def of_mode(cls, index: FaissIndex, file: IndexFile, mode: QueryMode) -> "TunedIndex":
        """Return an index with the effort of a query mode."""
        return cls(index, effort_of(file, mode))

    @property
    def is_exact(self) -> bool:
        """Return True if its scores are those of the vectors, but for rounding."""
        return self.index.is_exact

    def __len__(self) -> int:
        return len(self.index)

    def search(self, queries: Vectors, count: int, allowed: Ids | None = None) -> tuple[Scores, Ids]:
        """Return the best `count` candidates by the scores of the index."""
        return self.index.search(queries, count, allowed, self.effort)


def effort_of(file: IndexFile, mode: QueryMode) -> int:
    """Return the search effort for a query mode; files of earlier versions have one for all modes."""
    efforts = (tuning.effort for tuning in file.tunings if tuning.query_mode in TUNED_LIKE[mode])
    return max(efforts, default=file.effort)
