"""Tests of the caches of a space."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from retrieval.types import Filters
from retrieval.vectors import space_index
from retrieval.vectors.space_index import _get_or_compute


@pytest.fixture
def frequent_switches():
    """Switch between threads as often as possible."""
    seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(seconds)


def test_cached_values_are_right_while_other_threads_evict_them(monkeypatch, frequent_switches):
    monkeypatch.setattr(space_index, "MAX_CACHE_ENTRIES", 2)
    filters = [Filters(under=(name,)) for name in "abcd"]
    cache: dict[Filters, str] = {}

    def read(thread: int) -> None:
        for number in range(2_000):
            key = filters[(thread + number) % 4]
            assert _get_or_compute(cache, key, repr) == repr(key)
            assert len(cache) <= 2

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(4)))
