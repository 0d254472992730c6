"""Do work ahead of its turn, in threads, no further than a bound."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from threading import Condition
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def ahead(
    work: Callable[[Given], Made],
    items: Iterable[Given],
    *,
    threads: int,
    depth: int,
    weigh: Callable[[Made], int] = lambda made: 1,
) -> Iterator[Made]:
    """Yield work(item) in order, with at most `depth` items begun and not yet taken.

    No further item is worked on while those that wait to be taken weigh `depth` or more.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="clew-decode")
    begun: deque[Future[Made]] = deque()
    room, held, turn, closed = Condition(), 0, 0, False

    def make(number: int, item: Given) -> Made:
        nonlocal held
        with room:  # whose turn it is never waits
            room.wait_for(lambda: held < depth or number <= turn or closed)
        if closed:
            raise CancelledError
        made = work(item)
        with room:
            held += weigh(made)
        return made

    def take() -> Made:
        nonlocal held, turn
        made = begun.popleft().result()
        with room:
            held -= weigh(made)
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
