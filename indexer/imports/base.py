"""Stored images, and the protocol of sources."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from retrieval.types import Vectors


class StoredImage(NamedTuple):
    """An image of a source."""

    row: int  # number of its vector
    path: bytes  # absolute, or relative to the folder in which the program ran
    size: int | None = None  # bytes; None if the source has none
    mtime: float | None = None  # seconds; None if the source has none


class VectorSource(Protocol):
    """The images and vectors that a program has stored; it is only read."""

    program: str
    path: Path
    model: str | None  # as clew names it; None if the source does not name it

    def images(self) -> Iterator[StoredImage]:
        """Yield the images. Raises QueryError if the source is damaged."""
        ...

    def vectors(self, rows: Sequence[int]) -> list[Vectors]:
        """Return the vectors of rows; a damaged one may have any length."""
        ...

    def close(self) -> None:
        """Close the files of the source."""
        ...
