"""Stored images, the protocol of sources, and the checks of a vector."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from retrieval.types import Vectors

MAX_NORM_ERROR = 0.01  # of a unit vector; 16-bit floats of 1,024 dimensions cause less than 0.001


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


def vector_defect(vector: Vectors, dim: int) -> str | None:
    """Return the reason why a vector cannot be adopted, or None for a unit vector of `dim` numbers."""
    if vector.shape != (dim,):
        return f"the vector has {vector.size} numbers, not {dim}"
    if not np.isfinite(vector).all():
        return "the vector has NaN or infinite numbers"
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if norm == 0.0:
        return "the vector is zero"
    if abs(norm - 1.0) > MAX_NORM_ERROR:
        return f"the vector has length {norm:.3g}, not 1"
    return None
