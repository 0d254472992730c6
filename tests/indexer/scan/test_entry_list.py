"""Tests of the compressed list of files."""

import tracemalloc

import pytest

from indexer.scan.entry_list import BLOCK_ENTRIES, EntryList
from indexer.types import FileEntry


def entry(number: int) -> FileEntry:
    """Return a file with a name that is not UTF-8, a time before 1970 and, of every third, no ctime."""
    path = b"caf\xe9/%08d.jpg" % number
    ctime = None if number % 3 == 0 else number * 10**11 + 7
    return FileEntry(path, number * 997, -number * 10**11, "picture", path if number % 2 else None, ctime)


@pytest.mark.parametrize("count", [0, 1, BLOCK_ENTRIES - 1, BLOCK_ENTRIES, 2 * BLOCK_ENTRIES + 1])
def test_list_has_the_files_that_were_appended(count):
    entries = [entry(number) for number in range(count)]
    stored = EntryList(entries)
    assert len(stored) == count
    for _ in range(2):
        assert list(stored) == entries
    assert {type(each) for each in stored} <= {FileEntry}


def test_list_takes_a_fifth_of_the_memory():
    tracemalloc.start()
    try:
        stored = EntryList(map(entry, range(50 * BLOCK_ENTRIES)))
        packed = tracemalloc.get_traced_memory()[0]
        plain = list(stored)
        assert packed < (tracemalloc.get_traced_memory()[0] - packed) / 5
    finally:
        tracemalloc.stop()
    assert len(plain) == len(stored)
