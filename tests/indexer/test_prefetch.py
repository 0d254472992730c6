"""Work is done ahead of its turn, in order, and no further than its bound."""

import threading
import time

import pytest

from indexer.prefetch import prefetch


def test_results_come_in_order_whatever_takes_long():
    def work(number):
        time.sleep(0.01 * (number % 3 == 0))
        return number * number

    assert list(prefetch(work, range(50), threads=4, depth=8)) == [n * n for n in range(50)]


def test_no_more_is_begun_than_the_depth():
    begun = []
    results = prefetch(lambda n: begun.append(n) or n, range(100), threads=2, depth=5)
    assert next(results) == 0
    time.sleep(0.05)
    assert len(begun) <= 6
    results.close()


def test_heavy_results_hold_the_others_back():
    begun = []
    heavy = prefetch(lambda n: begun.append(n) or n, range(100), threads=2, depth=50, weight=lambda n: 25)
    taken = 0
    for taken, _ in enumerate(heavy, start=1):
        time.sleep(0.002)
        assert len(begun) - taken <= 2 + 2  # two that wait, two in hand
    assert taken == 100


def test_an_error_comes_in_its_turn_and_the_threads_end():
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


def test_whose_turn_it_is_never_waits_for_those_behind():
    """The first is slow to begin while heavy ones behind it fill the bound."""
    for _ in range(200):
        assert list(prefetch(lambda n: n, range(8), threads=4, depth=3, weight=lambda n: 9)) == list(range(8))
