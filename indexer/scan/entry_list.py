"""A list of files that takes a fraction of the memory, because a first scan has all files of a root."""

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from indexer.types import FileEntry

BLOCK_ENTRIES = 1_000  # that are compressed together


class EntryList:
    """Files in the order in which they were appended, compressed in memory."""

    def __init__(self, entries: Iterable[FileEntry] = ()) -> None:
        self._blocks = list[bytes]()
        self._last = list[FileEntry]()  # less than a block
        for entry in entries:
            self.append(entry)

    def append(self, entry: FileEntry) -> None:
        """Add a file at the end."""
        self._last.append(entry)
        if len(self._last) == BLOCK_ENTRIES:
            self._blocks.append(zlib.compress(json.dumps([*map(pack_entry, self._last)]).encode(), 1))
            self._last = []

    def __len__(self) -> int:
        return BLOCK_ENTRIES * len(self._blocks) + len(self._last)

    def __iter__(self) -> Iterator[FileEntry]:
        for block in self._blocks:
            yield from map(unpack_entry, json.loads(zlib.decompress(block)))
        yield from self._last


def pack_entry(entry: FileEntry) -> list[str | int | None]:
    """Return a file as values of JSON: bytes become the characters of their numbers."""
    sidecar_of = None if entry.sidecar_of is None else entry.sidecar_of.decode("latin-1")
    return [entry.path.decode("latin-1"), *entry[1:4], sidecar_of, entry.ctime]


def unpack_entry(values: list[Any]) -> FileEntry:
    """Return the file of values that `pack_entry` has made."""
    path, size, mtime, decoder, sidecar_of, ctime = values
    sidecar_of = None if sidecar_of is None else sidecar_of.encode("latin-1")
    return FileEntry(path.encode("latin-1"), size, mtime, decoder, sidecar_of, ctime)
