"""Calls wait in a queue with a limit, are dropped with their client, and never block the event loop."""

import asyncio
from threading import Event

import numpy as np
import pytest

from indexer import update_library
from retrieval.embedders.builtin import BuiltinEmbedder
from retrieval.library import Library
from retrieval.server.errors import Busy, ClientGone
from retrieval.server.options import ServerOptions
from retrieval.server.worker import Worker
from tests.support.files import draw_image


class Client:
    """A client that closes its connection when it is told to."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}


@pytest.fixture
def worker(library, place, toy):
    started = Worker(Library.open(place, embedder=toy), ServerOptions(threads=1, max_waiting=2))
    yield started
    started.close()


def test_result_and_error_of_a_call_are_passed_on(worker):
    async def run():
        assert await worker.run(Client(), lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            await worker.run(Client(), lambda: 1 // 0)

    asyncio.run(run())
    assert (worker.running, worker.waiting) == (0, 0)


def test_more_calls_than_the_limit_are_refused(worker):
    release = Event()

    async def run():
        first = asyncio.create_task(worker.run(Client(), release.wait))
        while not worker.running:
            await asyncio.sleep(0.01)
        waiting = [asyncio.create_task(worker.run(Client(), lambda: None)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(Busy):
            await worker.run(Client(), lambda: None)
        release.set()
        await asyncio.gather(first, *waiting)
        assert await worker.run(Client(), lambda: "free again") == "free again"

    asyncio.run(run())
    assert worker.refused == 1


def test_waiting_call_of_a_client_that_left_is_dropped(worker):
    release, calls = Event(), []

    async def run():
        first = asyncio.create_task(worker.run(Client(), release.wait))
        while not worker.running:
            await asyncio.sleep(0.01)
        client = Client()
        superseded = asyncio.create_task(worker.run(client, lambda: calls.append("superseded")))
        await asyncio.sleep(0.01)
        client.gone.set()
        with pytest.raises(ClientGone):
            await superseded
        assert worker.waiting == 0
        release.set()
        await first
        await worker.run(Client(), lambda: calls.append("next"))

    asyncio.run(run())
    assert calls == ["next"]
    assert worker.dropped == 1


def test_library_stays_open_for_a_call_that_runs_at_the_end(library, place, toy):
    worker, release = Worker(Library.open(place, embedder=toy), ServerOptions(threads=1)), Event()

    def read():
        return release.wait(20), worker.catalog.change_count()

    async def run():
        call = asyncio.create_task(worker.run(Client(), read))
        while not worker.running:
            await asyncio.sleep(0.01)
        worker.close()
        release.set()
        return await call

    was_released, count = asyncio.run(run())
    assert was_released
    assert count


def test_event_loop_is_free_while_a_call_runs(worker):
    release = Event()

    async def run():
        call = asyncio.create_task(worker.run(Client(), lambda: release.wait(30)))
        while not worker.running:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        release.set()
        return await call

    assert asyncio.run(run()) is True


def test_busy_server_answers_503_with_retry_after(library, serve):
    client = serve(max_waiting=0)
    answer = client.get("/api/search", params={"q": "red"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert client.get("/healthz").status_code == 200


def test_server_embeds_a_query_like_the_command_alone_bit_by_bit(place, tmp_path):
    draw_image(tmp_path / "pictures" / "red.png", "red")
    update_library(tmp_path / "pictures", library=place, embedder=BuiltinEmbedder())
    embedder = BuiltinEmbedder()
    worker = Worker(Library.open(place, embedder=embedder), ServerOptions(threads=1))
    worker.warm_up()
    asyncio.run(worker.run(Client(), lambda: None))  # the only thread warms up first
    worker.close()
    queries = ["red", "ein Hund im Schnee", "a man in a blue shirt stands near a large building"]
    for query in queries:
        assert np.array_equal(embedder.embed_texts([query]), BuiltinEmbedder().embed_texts([query]))
