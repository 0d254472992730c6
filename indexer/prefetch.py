"""Run work in threads ahead of its consumer, within a limit."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Condition, Event
from typing import Generic, TypeVar

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
        self._started: deque[tuple[Item, Future[Result]]] = deque()
        self._state = Condition()  # of the following
        self._held = 0  # weight of the results that wait
        self._turn = 0  # number of the next result
        self._closed = False

    def run(self, items: Iterable[Item]) -> Generator[Result]:
        """Yield the results of these items."""
        pool = ThreadPoolExecutor(self._limits.threads, thread_name_prefix="clew-decode")
        complete = False
        try:
            for number, item in enumerate(items):
                self._started.append((item, pool.submit(self._run_item, number, item)))
                while len(self._started) >= self._limits.depth:
                    yield self._take_or_tick()
            while self._started:
                yield self._take_or_tick()
            complete = True
        finally:
            self._close(pool, is_early=not complete)

    def _run_item(self, number: int, item: Item) -> Result:
        """Work on an item when its result may wait; the next one in order never waits for others."""
        with self._state:
            self._state.wait_for(
                lambda: self._held < self._limits.max_weight or number <= self._turn or self._closed
            )
        if self._closed:
            raise CancelledError
        result = self._work(item)
        with self._state:
            self._held += self._limits.weight(result)
        return result

    def _take_or_tick(self) -> Result:
        """Return the next result, or the tick if it takes long."""
        future = self._started[0][1]
        if self._tick is not None and not wait([future], self._tick[0]).done:
            return self._tick[1]
        result = future.result()
        self._started.popleft()
        with self._state:
            self._held -= self._limits.weight(result)
            self._turn += 1
            self._state.notify_all()
        return result

    def _close(self, pool: ThreadPoolExecutor, *, is_early: bool) -> None:
        """Cancel the items that are not running, and wait for the others for a short time."""
        with self._state:
            self._closed = True
            self._state.notify_all()
        is_stopping = False
        if self._stop is not None and is_early:
            self._stop.set()
            is_stopping = True
        _wait_for_running(self._started, self._on_wait, LONG_WAIT_SECONDS if is_stopping else 0.0)
        pool.shutdown(wait=not is_stopping, cancel_futures=True)


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


def _wait_for_running(
    started: Iterable[tuple[Item, Future[Result]]], on_wait: Callable[[Sequence[Item]], None], seconds: float
) -> None:
    """Cancel the items that are not running; report those that run on, and wait for them."""
    running = [(item, future) for item, future in started if not future.cancel()]
    futures = [future for _, future in running]
    if wait(futures, SHORT_WAIT_SECONDS).not_done:
        on_wait([item for item, future in running if not future.done()])
        wait(futures, seconds)


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
