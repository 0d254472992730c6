"""Run work in threads ahead of its consumer, within a limit."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Generic, TypeVar

LIMIT_CHECK_SECONDS = 0.002  # between two checks whether an item may start
SHORT_WAIT_SECONDS = 0.3  # for the items that are running at an early end, before they are reported
LONG_WAIT_SECONDS = 0.7  # for those that were told to stop; then they end on their own

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefetchLimits(Generic[Result]):
    """Limits on the work ahead of the consumer."""

    threads: int
    depth: int  # items that are started and not yet consumed
    weight: Callable[[Result], int] = lambda result: 0
    max_weight: int = 1  # of the results that wait for the consumer; no other item starts beyond it


class Prefetch(Generic[Item, Result]):
    """An iterator over work(item) in the order of the items; threads work ahead, within limits.

    When it ends early, `stop` is set for the running items, and `on_wait` gets those that take longer. Items
    that do not stop within a second end on their own, without their result. `tick` is a number of seconds,
    and what to yield whenever the next result takes longer.

    The consumer and the threads share queues but no lock: an interrupt of the consumer can leave a lock
    locked, and then the threads would never end.
    """

    def __init__(
        self,
        work: Callable[[Item], Result],
        limits: PrefetchLimits[Result],
        *,
        stop: Event | None = None,
        on_wait: Callable[[Sequence[Item]], None] = lambda items: None,
        tick: tuple[float, Result] | None = None,
    ) -> None:
        self._work, self._limits, self._stop, self._on_wait, self._tick = work, limits, stop, on_wait, tick
        self._todo: SimpleQueue[tuple[int, Item] | None] = SimpleQueue()
        self._done: SimpleQueue[_Outcome[Result]] = SimpleQueue()
        self._ready: dict[int, _Outcome[Result]] = {}  # results that wait for their turn
        self._running: dict[int, Item] = {}
        self._closed = False
        self._turn = 0  # number of the next result
        self._consumed = 0  # weight of the results that were yielded
        self._produced = 0  # weight of all results
        self._produced_lock = Lock()  # of the threads; the consumer only reads

    def run(self, items: Iterable[Item]) -> Generator[Result]:
        """Yield the results of these items."""
        threads: list[Thread] = []
        started, complete = 0, False
        try:
            for started, item in enumerate(items, start=1):
                self._todo.put((started - 1, item))
                if len(threads) < self._limits.threads:
                    threads.append(Thread(target=self._run_items, name="clew-decode"))
                    threads[-1].start()
                while started - self._turn >= self._limits.depth:
                    yield self._take_or_tick()
            while self._turn < started:
                yield self._take_or_tick()
            complete = True
        finally:
            self._close(threads, is_early=not complete)

    def _run_items(self) -> None:
        """Work on items until the end of the queue."""
        while (entry := self._todo.get()) is not None:
            number, item = entry
            while not (self._closed or self._may_start(number)):
                sleep(LIMIT_CHECK_SECONDS)
            if not self._closed:
                self._running[number] = item
                self._done.put(self._run_item(number, item))
                del self._running[number]
        self._todo.put(None)  # for the other threads

    def _may_start(self, number: int) -> bool:
        """Return True if the result of an item may wait; the next one in order never waits for others."""
        return self._produced - self._consumed < self._limits.max_weight or number <= self._turn

    def _run_item(self, number: int, item: Item) -> "_Outcome[Result]":
        try:
            result = self._work(item)
            with self._produced_lock:
                self._produced += self._limits.weight(result)
        except BaseException as error:  # the consumer raises it
            return _Outcome(number, error=error)
        return _Outcome(number, [result])

    def _take_or_tick(self) -> Result:
        """Return the next result, or the tick if it takes long."""
        end = None if self._tick is None else monotonic() + self._tick[0]
        while self._turn not in self._ready:
            try:
                outcome = self._done.get(timeout=None if end is None else max(0.0, end - monotonic()))
            except Empty:
                assert self._tick is not None
                return self._tick[1]
            self._ready[outcome.number] = outcome
        outcome = self._ready.pop(self._turn)
        if outcome.error is not None:
            raise outcome.error
        (result,) = outcome.results
        self._consumed += self._limits.weight(result)
        self._turn += 1
        return result

    def _close(self, threads: Sequence[Thread], *, is_early: bool) -> None:
        """Drop the items that are not running, and wait for the others; for a short time if they can stop."""
        self._closed = True
        self._todo.put(None)
        is_stopping = self._stop is not None and is_early
        if self._stop is not None and is_early:
            self._stop.set()
        if not _join(threads, SHORT_WAIT_SECONDS):
            self._on_wait(list(self._running.values()))
            _join(threads, LONG_WAIT_SECONDS if is_stopping else None)


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[Result]):
    """The result of an item, or its error."""

    number: int
    results: Sequence[Result] = ()
    error: BaseException | None = None


def _join(threads: Iterable[Thread], seconds: float | None) -> bool:
    """Wait for threads that were started; return True if all have ended."""
    end = None if seconds is None else monotonic() + seconds
    for thread in threads:
        if thread.is_alive():
            thread.join(None if end is None else max(0.0, end - monotonic()))
    return not any(thread.is_alive() for thread in threads)


def prefetch(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    depth: int,
    stop: Event | None = None,
) -> Generator[Result]:
    """Yield work(item) in order, computed ahead; `Prefetch` has further options."""
    limits: PrefetchLimits[Result] = PrefetchLimits(threads=threads, depth=depth)
    return Prefetch(work, limits, stop=stop).run(items)


class LinkedEvent(Event):
    """An event that is also set while another one is."""

    def __init__(self, other: Event | None) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Return True if this event or the other one is set."""
        return super().is_set() or (self._other is not None and self._other.is_set())


def finishing_message(names: Sequence[str]) -> str:
    """Return a message on the files that are still in hand after an interrupt."""
    return f"Finishing {', '.join(names) or 'the current batch'}. Press Ctrl-C again to stop at once."
