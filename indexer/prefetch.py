"""Do work ahead of its turn, in threads, no further than a bound."""

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
    weight: Callable[[Result], int] = lambda made: 1,
) -> Generator[Result]:
    """Yield work(item) in order, with at most `depth` items begun and not yet taken.

    No further item is worked on while those that wait to be taken weigh `depth` or more.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="clew-decode")
    begun: deque[Future[Result]] = deque()
    room, held, turn, closed = Condition(), 0, 0, False

    def make(number: int, item: Item) -> Result:
        nonlocal held
        with room:  # whose turn it is never waits
            room.wait_for(lambda: held < depth or number <= turn or closed)
        if closed:
            raise CancelledError
        made = work(item)
        with room:
            held += weight(made)
        return made

    def take() -> Result:
        nonlocal held, turn
        made = begun.popleft().result()
        with room:
            held -= weight(made)
            turn += 1
            room.notify_all()
        return made

    try:
        for number, item in enumerate(items):
            begun.append(pool.submit(make, number, item))
            if len(begun) >= depth:
                yield take()
        while begun:
            yield take()
    finally:
        with room:
            closed = True
            room.notify_all()
        pool.shutdown(wait=True, cancel_futures=True)
