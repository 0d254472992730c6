"""Analyzer protocol and work units."""

from collections.abc import Callable, Generator
from typing import BinaryIO, NamedTuple, Protocol

from indexer.decode.base import Draft
from indexer.store.analyses import Source


class Part(NamedTuple):
    """How to look a part of a content over, in any thread; `upto` is how far it reaches, None to its end."""

    look: Callable[[], list[Draft]]
    upto: float | None


class Finder(Protocol):
    """Finds words in contents, with so many threads."""

    threads: int

    def parts(self, file: BinaryIO, source: Source) -> Generator[Part]:
        """Yield what there is to look over, from what was done before; raises MediaError."""
        ...
