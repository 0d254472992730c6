"""Stored images, the protocol of sources, and the result of an import."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from retrieval.types import Failure, Vectors


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


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of `import_vectors`. Each image of the source is counted once; of shards, each file."""

    program: str  # "rclip", "clip-retrieval" or "clew embed"
    space: str
    folders: tuple[Path, ...]  # that the library covers now
    adopted: int = 0  # images whose stored vector is now in the space
    known: int = 0  # images that had a vector of the space
    unread: int = 0  # images that could not be read, or that the saved options exclude
    changed: tuple[Path, ...] = ()  # written after their vector
    missing: tuple[Path, ...] = ()
    outside: tuple[Path, ...] = ()  # of the folders
    refused: tuple[Failure, ...] = ()  # whose vector is not a unit vector of the model
    failed: tuple[Failure, ...] = ()  # of shards, which a worker could not read
    damaged: tuple[Failure, ...] = ()  # shards, of which at most the first files are imported
    segments: int = 0  # of shards, which are new
    notes: tuple[str, ...] = ()
    active: bool = False  # searches use the space
    seconds: float = 0.0
    interrupted: bool = False
