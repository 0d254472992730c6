"""Analyzer protocol and work units."""

from collections.abc import Callable, Generator
from typing import BinaryIO, NamedTuple, Protocol

from indexer.decode.base import SegmentDraft
from indexer.store.analyses import PendingContent


class WorkUnit(NamedTuple):
    """How to look a part of a content over, in any thread; `upto` is how far it reaches, None to its end."""

    analyze: Callable[[], list[SegmentDraft]]
    progress: float | None


class Analyzer(Protocol):
    """Finds words in contents, with so many threads."""

    threads: int

    def work_units(self, file: BinaryIO, pending: PendingContent) -> Generator[WorkUnit]:
        """Yield what there is to look over, from what was done before; raises MediaError."""
        ...
