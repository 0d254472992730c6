"""Do work ahead of its turn, in threads, no further than a bound."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    """Yield work(item) in order, with items begun and not yet taken that weigh at most about `depth`."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="clew-decode")
    begun: deque[Future[Made]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            while begun and sum(weigh(one.result()) if one.done() else 1 for one in begun) >= depth:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
