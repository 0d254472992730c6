"""Run work in threads ahead of its consumer, within a limit."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from threading import Condition, Event
from typing import TypeVar

SHORT_WAIT_SECONDS = 0.3  # for the items that are running at an early end, before they are reported
LONG_WAIT_SECONDS = 0.7  # for those that were told to stop; then they end on their own

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    depth: int,
    weight: Callable[[Result], int] = lambda result: 0,
    max_weight: int = 1,
    stop: Event | None = None,
    on_wait: Callable[[Sequence[Item]], None] = lambda items: None,
    tick: tuple[float, Result] | None = None,
) -> Generator[Result]:
    """Yield work(item) in order, with at most `depth` items started and not yet consumed.

    No other item starts while the results that wait for the consumer weigh `max_weight` or more. When the
    generator ends early, `stop` is set for the running items, and `on_wait` gets those that take longer.
    Items that do not stop within a second end on their own, without their result. `tick` is a number of
    seconds, and what to yield whenever the next result takes longer.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="clew-decode")
    started: deque[tuple[Item, Future[Result]]] = deque()
    state, held, turn, closed, complete = Condition(), 0, 0, False, False

    def run(number: int, item: Item) -> Result:
        nonlocal held
        with state:  # the next result in order never waits: the consumer waits for it
            state.wait_for(lambda: held < max_weight or number <= turn or closed)
        if closed:
            raise CancelledError
        result = work(item)
        with state:
            held += weight(result)
        return result

    def take() -> Result:
        nonlocal held, turn
        result = started[0][1].result()
        started.popleft()
        with state:
            held -= weight(result)
            turn += 1
            state.notify_all()
        return result

    def take_or_tick() -> Result:
        if tick is not None and not wait([started[0][1]], tick[0]).done:
            return tick[1]
        return take()

    try:
        for number, item in enumerate(items):
            started.append((item, pool.submit(run, number, item)))
            while len(started) >= depth:
                yield take_or_tick()
        while started:
            yield take_or_tick()
        complete = True
    finally:
        with state:
            closed = True
            state.notify_all()
        is_stopping = stop is not None and not complete
        if stop is not None and is_stopping:
            stop.set()
        _wait_for_running(started, on_wait, LONG_WAIT_SECONDS if is_stopping else 0.0)
        pool.shutdown(wait=not is_stopping, cancel_futures=True)


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
