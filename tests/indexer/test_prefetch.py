"""Prefetching runs work ahead, yields results in order and keeps its limit."""

import threading
import time

import pytest

from indexer.prefetch import prefetch


def test_results_keep_the_order_of_items():
    def work(number):
        time.sleep(0.01 * (number % 3 == 0))
        return number * number

    assert list(prefetch(work, range(50), threads=4, depth=8)) == [n * n for n in range(50)]


def test_no_more_items_start_than_the_depth():
    started = []
    results = prefetch(lambda n: started.append(n) or n, range(100), threads=2, depth=5)
    assert next(results) == 0
    time.sleep(0.05)
    assert len(started) <= 6
    results.close()


def test_heavy_results_delay_later_items():
    started = []
    heavy = prefetch(lambda n: started.append(n) or n, range(100), threads=2, depth=50, weight=lambda n: 25)
    consumed = 0
    for consumed, _ in enumerate(heavy, start=1):
        time.sleep(0.002)
        assert len(started) - consumed <= 2 + 2  # two that wait, two in work
    assert consumed == 100


def test_error_is_raised_in_order_and_ends_the_threads():
    def work(number):
        if number == 3:
            raise ValueError("three")
        return number

    before = threading.active_count()
    results = prefetch(work, range(10), threads=2, depth=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert threading.active_count() == before


def test_next_item_is_not_blocked_by_later_items():
    """Results that weigh more than the limit must not block the item before them."""
    for _ in range(200):
        assert list(prefetch(lambda n: n, range(8), threads=4, depth=3, weight=lambda n: 9)) == list(range(8))
