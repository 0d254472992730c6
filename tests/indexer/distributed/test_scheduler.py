"""Items of dead workers are done again, halved and given up; errors are retried."""

from collections import Counter

import pytest

from indexer.distributed.items import WorkItem
from indexer.distributed.pool import Outcome
from indexer.distributed.scheduler import DEADLY_REASON, MAX_ATTEMPTS, Schedule
from indexer.distributed.worker import ItemResult
from indexer.types import FileEntry
from retrieval.errors import ClewError


class FragilePool:
    """Two workers without processes; a file with `kill` in its name ends them, one with `once` only once."""

    def __init__(self):
        self.running, self.starting, self.runs = [], 2, Counter()

    @property
    def is_idle(self):
        return self.starting + len(self.running) < 2

    @property
    def is_busy(self):
        return bool(self.running)

    def submit(self, item):
        assert self.is_idle
        self.running.append(item)

    def wait(self):
        if self.starting:
            self.starting -= 1
            return None
        item = self.running.pop(0)
        self.runs[item.name] += 1
        names = b" ".join(entry.path for entry in item.entries)
        if b"kill" in names or (b"once" in names and self.runs[item.name] == 1):
            self.starting = 1
            return Outcome(item, is_dead=True)
        if b"full" in names:
            return Outcome(item, error="Cannot write /out: disk full.", is_fatal=True)
        if b"error" in names or (b"retry" in names and self.runs[item.name] < MAX_ATTEMPTS):
            return Outcome(item, error="disk full")
        return Outcome(item, ItemResult(len(item.entries)))

    def close(self): ...


def item(number, *names):
    return WorkItem(f"{number:08}", b"/a", tuple(FileEntry(name.encode(), 1, 1, "picture") for name in names))


def run(*items):
    """Return the files that were done and given up, and the pool."""
    pool, done, given_up = FragilePool(), [], []

    def give_up(item, reason):
        assert reason == DEADLY_REASON
        given_up.extend(entry.path.decode() for entry in item.entries)
        return ItemResult(1, failed=1)

    schedule = Schedule(
        pool, give_up, lambda item, result: done.extend(e.path.decode() for e in item.entries)
    )
    try:
        schedule.run(items)
    finally:
        pool.done = sorted(done)
    return pool.done, given_up, pool


def test_all_items_are_done_once():
    done, given_up, pool = run(*(item(number, str(number)) for number in range(7)))
    assert (done, given_up) == ([str(number) for number in range(7)], [])
    assert set(pool.runs.values()) == {1}


def test_item_of_a_dead_worker_is_done_again():
    done, given_up, pool = run(item(0, "a"), item(1, "once", "b"), item(2, "c"))
    assert (done, given_up) == (["a", "b", "c", "once"], [])
    assert pool.runs["00000001"] == 2


def test_file_that_ends_workers_is_given_up_alone():
    names = ["a", "b", "kill", "c", "d", "kill2", "e"]
    done, given_up, pool = run(item(0, *names), item(1, "f"))
    assert done == sorted([*names, "f"])
    assert sorted(given_up) == ["kill", "kill2"]
    assert max(pool.runs.values()) == 2


def test_error_is_retried_and_the_other_items_are_done_first():
    done, _, pool = run(item(0, "retry"), item(1, "a"))
    assert done == ["a", "retry"]
    assert pool.runs["00000000"] == MAX_ATTEMPTS
    with pytest.raises(ClewError, match=r"1 shards could not be written; 00000000: disk full") as error:
        run(item(0, "error"), item(1, "a"))
    assert "resumes" in str(error.value)


def test_error_of_all_items_ends_the_run_at_once():
    pool, done = FragilePool(), []
    schedule = Schedule(pool, None, lambda item, result: done.append(item.name))
    with pytest.raises(ClewError, match=r"^Cannot write /out: disk full.$"):
        schedule.run([item(0, "a"), item(1, "full"), *(item(number, "b") for number in range(2, 9))])
    assert done == ["00000000"]
    assert pool.runs.total() == 2


def test_no_items_end_at_once():
    assert run()[:2] == ([], [])
