"""Run calls on one library in few threads, with a limit on waiting calls."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic
from typing import Any, TypeVar

from starlette.requests import Request

from retrieval.catalog.browse.facets import facets
from retrieval.catalog.browse.timeline import timeline
from retrieval.catalog.reader import Catalog
from retrieval.errors import ClewError
from retrieval.library import Library
from retrieval.server.errors import Busy, ClientGone
from retrieval.server.options import ServerOptions
from retrieval.types import Filters

Result = TypeVar("Result")

MAX_CACHED = 64  # counts by filters
CLOSE_SECONDS = 1.0  # that running calls have at the end


class Worker:
    """One open library with its model, which it closes at the end, and the threads that use it.

    A call waits until a thread is free. If its client closes the connection meanwhile, it is dropped.
    """

    def __init__(self, library: Library, options: ServerOptions) -> None:
        self.options, self.library = options, library
        self._open_catalog = Catalog.open(self.library.folder)
        self._catalog_lock = Lock()
        self._executor = ThreadPoolExecutor(options.threads, "server-search")
        self._media_executor = ThreadPoolExecutor(options.threads, "server-media")
        self.running = self.waiting = self.dropped = self.refused = 0
        self.started = monotonic()
        self._counts = Lock()
        self._cache, self._cache_lock = OrderedDict[tuple[str, Filters, int], Any](), Lock()

    @property
    def catalog(self) -> Catalog:
        """Return the catalog, opened again if its file was replaced."""
        with self._catalog_lock:
            if self._open_catalog.is_outdated():  # other threads may still use the old connection
                self._open_catalog = Catalog.open(self.library.folder)
            return self._open_catalog

    def cached(self, name: str, filters: Filters, function: Callable[[Catalog, Filters], Result]) -> Result:
        """Return function(catalog, filters), computed again only if the library has changed."""
        catalog = self.catalog
        key = name, filters, catalog.change_count()
        with self._cache_lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]  # type: ignore[no-any-return]
        result = function(catalog, filters)
        with self._cache_lock:
            self._cache[key] = result
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)
        return result

    def warm_up(self) -> None:
        """Load the model and the index in a thread, so that the first search does not wait."""
        self._executor.submit(self._load)

    def _load(self) -> None:
        with suppress(ClewError):  # the first search reports it
            self.library.search("a photo", count=1)
            for name, function in (("facets", facets), ("timeline", timeline)):
                self.cached(name, Filters(), function)

    async def run(
        self, request: Request, function: Callable[[], Result], *, takes_long: bool = False
    ) -> Result:
        """Return the result of a call; raises Busy, and ClientGone if its client no longer waits.

        Calls that decode media or take as long have threads of their own, so that searches do not wait.
        """
        with self._counts:
            if self.waiting >= self.options.max_waiting:
                self.refused += 1
                raise Busy
            self.waiting += 1
        executor = self._media_executor if takes_long else self._executor
        future = executor.submit(self._call, function)
        future.add_done_callback(self._count_dropped)
        try:
            return await unless_gone(request, asyncio.wrap_future(future))
        finally:
            future.cancel()

    def _call(self, function: Callable[[], Result]) -> Result:
        with self._counts:
            self.waiting -= 1
            self.running += 1
        try:
            return function()
        finally:
            with self._counts:
                self.running -= 1

    def _count_dropped(self, future: "Future[Result]") -> None:
        if future.cancelled():
            with self._counts:
                self.waiting -= 1
                self.dropped += 1

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Drop the waiting calls, and close the library after the running ones.

        Return after so many seconds even if one still runs: closing the library would crash it.
        """
        closing = Thread(target=self._close, name="server-close", daemon=True)
        closing.start()
        closing.join(seconds)

    def _close(self) -> None:
        for executor in (self._executor, self._media_executor):
            executor.shutdown(wait=True, cancel_futures=True)
        self._open_catalog.close()
        self.library.close()


async def unless_gone(request: Request, awaited: Awaitable[Result]) -> Result:
    """Return an answer; if the client closes the connection before, cancel it and raise ClientGone.

    The body of the request has been read before.
    """
    answer, gone = asyncio.ensure_future(awaited), asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientGone
    finally:
        answer.cancel()
        gone.cancel()


async def _disconnection(request: Request) -> None:
    """Return when the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
