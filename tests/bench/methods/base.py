"""The protocol of methods."""

from abc import ABC, abstractmethod
from typing import ClassVar

from retrieval.types import Ids, Vectors


class Method(ABC):
    """A method that proposes rows for a query; their vectors are compared exactly afterwards."""

    efforts: ClassVar[tuple[int, ...]]
    bytes: float = 0.0  # of memory for each vector, without the exact vectors on disk

    @abstractmethod
    def build(self, vectors: Vectors, texts: Vectors) -> None:
        """Build from (n, d) vectors of images, and (m, d) of texts of the kind that will be searched."""

    @abstractmethod
    def search(self, query: Vectors, count: int, effort: int) -> Ids:
        """Return up to `count` rows for a (1, d) query; -1 for none."""
