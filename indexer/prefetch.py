"""Run work in threads ahead of its consumer, within a limit."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Condition
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    depth: int,
    weight: Callable[[Result], int] = lambda result: 1,
) -> Generator[Result]:
    """Yield work(item) in order, with at most `depth` items started and not yet consumed.

    No other item starts while the results that wait for the consumer weigh `depth` or more.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="clew-decode")
    started: deque[Future[Result]] = deque()
    state, held, turn, closed = Condition(), 0, 0, False

    def run(number: int, item: Item) -> Result:
        nonlocal held
        with state:  # the next result in order never waits: the consumer waits for it
            state.wait_for(lambda: held < depth or number <= turn or closed)
        if closed:
            raise CancelledError
        result = work(item)
        with state:
            held += weight(result)
        return result

    def take() -> Result:
        nonlocal held, turn
        result = started.popleft().result()
        with state:
            held -= weight(result)
            turn += 1
            state.notify_all()
        return result

    try:
        for number, item in enumerate(items):
            started.append(pool.submit(run, number, item))
            if len(started) >= depth:
                yield take()
        while started:
            yield take()
    finally:
        with state:
            closed = True
            state.notify_all()
        pool.shutdown(wait=True, cancel_futures=True)
