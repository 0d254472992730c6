"""Tests of the runner of passes, with a pass over numbers instead of contents."""

from threading import Barrier, current_thread, main_thread

import pytest

from indexer.decode.base import SegmentDraft
from indexer.enrich.content_pass import ContentPass, run_pass
from tests.support.toy_embedder import ToyEmbedder


class NumberPass(ContentPass[int, int]):
    """Commits each number and the vector of its draft; some numbers fail, and some have to wait."""

    batch_size = 3
    threads = 2

    def __init__(self, numbers, *, failing=(), waiting=(), committed=()):
        self.failing, self.waiting = set(failing), set(waiting)
        self.rows = dict(committed)  # number -> vector, or None if it failed
        self.numbers = [number for number in numbers if number not in self.rows]
        self.total = len(self.numbers)
        self.batches = []
        self.read_count = 0

    def pending(self):
        for number in self.numbers:
            self.read_count += 1
            yield number

    def process(self, item):
        if item in self.failing:
            raise ValueError(f"number {item}")
        return () if item in self.waiting else [item]

    def recover(self, item, error):
        return [-item]

    def drafts(self, result):
        return [SegmentDraft("text", text="red")] if result >= 0 else []

    def commit(self, results, vectors):
        rows = iter(vectors)
        self.rows |= {abs(number): next(rows) if number >= 0 else None for number in results}
        assert next(rows, None) is None
        self.batches.append([abs(number) for number in results])
        self.done += len(results)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def progress(calls):
    return lambda done, total: calls.append((done, total))


def test_results_are_committed_in_order_and_in_batches(progress, calls, toy):
    work = NumberPass(range(8))
    run_pass(work, toy, progress)
    assert work.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert calls == [(3, 8), (6, 8), (8, 8)]


def test_vectors_belong_to_the_drafts_of_their_results(progress, toy):
    work = NumberPass(range(4), failing=[1])
    run_pass(work, toy, progress)
    red = toy.embed_texts(["red"])[0].tolist()
    assert {number: row if row is None else row.tolist() for number, row in work.rows.items()} == {
        0: red,
        1: None,
        2: red,
        3: red,
    }


def test_empty_pass_commits_nothing(progress, calls, toy):
    run_pass(NumberPass([]), toy, progress)
    assert calls == []


def test_failing_item_is_recovered_and_delays_no_other(progress, toy):
    work = NumberPass(range(1, 7), failing=[1, 5])
    run_pass(work, toy, progress)
    assert sorted(work.rows) == [1, 2, 3, 4, 5, 6]
    assert [number for number, row in work.rows.items() if row is None] == [1, 5]


def test_nothing_is_committed_if_every_item_fails(progress, calls, toy):
    work = NumberPass(range(1, 8), failing=range(8))
    with pytest.raises(ValueError, match="number 7"):
        run_pass(work, toy, progress)
    assert (work.batches, calls) == ([], [])


def test_failed_items_are_committed_after_the_first_success(progress, toy):
    work = NumberPass(range(1, 10), failing=range(9))
    run_pass(work, toy, progress)
    assert sorted(work.rows) == list(range(1, 10))
    assert work.rows[9] is not None


def test_default_recovery_leaves_a_failing_item_pending(progress, toy):
    class Retrying(NumberPass):
        recover = ContentPass.recover

    work = Retrying(range(4), failing=[2])
    run_pass(work, toy, progress)
    assert sorted(work.rows) == [0, 1, 3]
    assert (work.done, work.total) == (3, 4)
    assert [str(error) for error in work.failures] == ["number 2"]


def test_waiting_items_are_neither_committed_nor_failures(progress, calls, toy):
    work = NumberPass(range(5), waiting=[0, 1, 2, 3, 4])
    run_pass(work, toy, progress)
    assert (work.rows, calls) == ({}, [])


@pytest.mark.parametrize("embed_threads", [0, 1, 2])
def test_interrupted_pass_resumes_after_the_last_batch(embed_threads, toy):
    class Ahead(NumberPass):
        pass

    Ahead.embed_threads = embed_threads

    def stop(done, total):
        if done >= 6:
            raise KeyboardInterrupt

    first = Ahead(range(20))
    with pytest.raises(KeyboardInterrupt):
        run_pass(first, toy, stop)
    assert sorted(first.rows) == [0, 1, 2, 3, 4, 5]
    rest = Ahead(range(20), committed=first.rows)
    run_pass(rest, toy, lambda done, total: None)
    assert rest.total == 14
    assert sorted(rest.rows) == list(range(20))


def test_interrupt_while_an_item_is_processed_keeps_earlier_batches(progress, toy):
    class Interrupted(NumberPass):
        threads, prefetch_per_thread = 1, 0

        def process(self, item):
            if item == 7:
                raise KeyboardInterrupt
            return super().process(item)

    work = Interrupted(range(20))
    with pytest.raises(KeyboardInterrupt):
        run_pass(work, toy, progress)
    assert work.batches == [[0, 1, 2], [3, 4, 5]]


def test_error_of_commit_ends_the_pass(progress, toy):
    class Full(NumberPass):
        def commit(self, results, vectors):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_pass(Full(range(4)), toy, progress)


def test_pending_items_are_read_no_further_than_the_prefetch_limit(toy):
    work = NumberPass(range(1_000))
    read_counts = []
    run_pass(work, toy, lambda done, total: read_counts.append(work.read_count - done))
    limit = 1 + work.prefetch_per_thread * work.threads + 2 * work.batch_size
    assert max(read_counts) <= limit


def test_batches_are_committed_after_an_interval_although_they_are_small(progress, calls, toy):
    work = NumberPass(range(4))
    work.batch_size, work.commit_interval = 100, 0.0
    run_pass(work, toy, progress)
    assert work.batches == [[0], [1], [2], [3]]


def test_batch_size_counts_the_drafts_of_results(progress, toy):
    class Pairs(NumberPass):
        def drafts(self, result):
            return [SegmentDraft("text", text="red")] * 2

        def commit(self, results, vectors):
            assert len(vectors) == 2 * len(results)
            self.batches.append(list(results))

    work = Pairs(range(5))
    work.batch_size = 4
    run_pass(work, toy, progress)
    assert work.batches == [[0, 1], [2, 3], [4]]


def test_items_are_processed_in_threads_and_read_and_committed_in_the_main_thread(progress, toy):
    class Recorded(NumberPass):
        barrier = Barrier(2)  # both threads have to arrive

        def pending(self):
            assert current_thread() is main_thread()
            return super().pending()

        def process(self, item):
            assert current_thread() is not main_thread()
            self.barrier.wait(timeout=30)
            return super().process(item)

        def commit(self, results, vectors):
            assert current_thread() is main_thread()
            super().commit(results, vectors)

    work = Recorded(range(8))
    run_pass(work, toy, progress)
    assert len(work.rows) == 8


def test_next_items_are_processed_while_a_batch_is_embedded(progress):
    """Embedding waits for the first item of the next batch: without look-ahead it would wait forever."""
    barrier = Barrier(2)

    class Waiting(ToyEmbedder):
        first = True

        def embed_texts(self, texts):
            if self.first:
                self.first = False
                barrier.wait(timeout=30)
            return super().embed_texts(texts)

    class Ahead(NumberPass):
        embed_threads, threads, prefetch_per_thread = 1, 1, 1

        def process(self, item):
            if item == 3:
                barrier.wait(timeout=30)
            return super().process(item)

    work = Ahead(range(6))
    run_pass(work, Waiting(), progress)
    assert work.batches == [[0, 1, 2], [3, 4, 5]]
