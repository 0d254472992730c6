"""Prefetching runs work ahead, yields results in order and keeps its limit."""

import sys
import threading
import time

import pytest

from indexer.decode.reader import read_file
from indexer.operations import pipeline
from indexer.operations.steps import new_files
from indexer.prefetch import Prefetch, PrefetchLimits, prefetch
from indexer.store.writer import LibraryWriter
from retrieval.media.limits import DecodeLimits
from retrieval.system import cores
from tests.support.files import draw_image


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
    limits = PrefetchLimits(threads=2, depth=50, weight=lambda n: 25, max_weight=50)
    heavy = Prefetch(lambda n: started.append(n) or n, limits).run(range(100))
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
    limits = PrefetchLimits(threads=4, depth=3, weight=lambda n: 9, max_weight=3)
    for _ in range(200):
        assert list(Prefetch(lambda n: n, limits).run(range(8))) == list(range(8))


def test_early_end_stops_running_items_and_reports_those_that_go_on():
    stop, ended, waiting, running = threading.Event(), [], [], threading.Barrier(3)

    def work(number):
        if number:
            running.wait()
            stop.wait(9)
            time.sleep(0.6)
        ended.append(number)

    limits = PrefetchLimits(threads=3, depth=3)
    results = Prefetch(work, limits, stop=stop, on_wait=waiting.extend).run(range(3))
    assert next(results) is None
    running.wait()
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 2
    assert waiting == [1, 2]
    assert sorted(ended) == [0, 1, 2]


def test_stop_is_not_set_at_the_regular_end():
    stop = threading.Event()
    assert list(prefetch(str, range(3), threads=1, depth=1, stop=stop)) == ["0", "1", "2"]
    assert not stop.is_set()


def test_tick_is_yielded_while_a_result_takes_long():
    def work(number):
        time.sleep(0.5 * (number == 2))
        return number

    results = list(Prefetch(work, PrefetchLimits(threads=2, depth=2), tick=(0.1, -1)).run(range(4)))
    assert [number for number in results if number >= 0] == [0, 1, 2, 3]
    assert results.count(-1) >= 2


def callers(frame):
    """Yield the name of a function and of those that called it."""
    while frame is not None:
        yield frame.f_code.co_name
        frame = frame.f_back


class InterruptAt:
    """A trace function that raises KeyboardInterrupt before an instruction of this thread."""

    def __init__(self, instruction):
        self.instruction, self.count = instruction, 0

    def __call__(self, frame, event, argument):
        if {"start", "_close"} & set(callers(frame)):  # short, and both need their end
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.count += event == "opcode"
        if event == "opcode" and self.count == self.instruction:
            raise KeyboardInterrupt
        return self


def run_until_interrupt(instruction):
    """Run a prefetch with an interrupt; return the instructions until the last result, and its threads."""
    interrupt, count = InterruptAt(instruction), 0
    limits = PrefetchLimits(threads=2, depth=3, weight=lambda result: 1, max_weight=2)
    results = Prefetch(lambda number: number, limits, stop=threading.Event()).run(range(6))
    previous = sys.gettrace()
    sys.settrace(interrupt)
    try:
        for _ in results:
            count = interrupt.count
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(previous)
    results.close()
    return count, [thread for thread in threading.enumerate() if thread.name == "clew-decode"]


def test_interrupt_at_any_instruction_ends_the_threads():
    """A lock that the interrupted thread left locked would keep the others, and the process, for ever."""
    count, _ = run_until_interrupt(0)
    assert count > 100
    for instruction in range(1, count, 3):
        assert run_until_interrupt(instruction)[1] == []


@pytest.mark.parametrize(("max_bytes", "is_limited"), [(1, True), (10**9, False)])
def test_pixels_of_decoded_files_delay_the_files_after_them(
    max_bytes, is_limited, monkeypatch, tmp_path, place, toy
):
    started, ahead = [], []

    def read(*arguments):
        started.append(None)
        return read_file(*arguments)

    def consume(folder, done, total, size=0):
        if done:
            time.sleep(0.02)
            ahead.append(len(started) - done)

    for number in range(60):
        draw_image(tmp_path / "media" / f"{number}.png", (number, 0, 0))
    monkeypatch.setattr(new_files, "read_file", read)
    with LibraryWriter(
        place, lambda space: toy, decode_limits=DecodeLimits(max_prefetch_bytes=max_bytes)
    ) as writer:
        pipeline.update_folders(writer, [tmp_path / "media"], progress=consume)
    assert len(started) == 60
    assert (max(ahead) <= 2 * cores()) == is_limited
