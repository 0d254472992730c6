"""Measure `clew serve`: its start, its memory, and searches through HTTP against searches in one process.

    python tests/bench/bench_server.py --segments 100000 --seconds 10 --load 60 --requests 100000 [--smoke]

The library is synthetic, with the space of the built-in model. `start` is the time until the server answers,
and `first` until it has answered a search. Each search is a different query; it is grouped as the page asks
for it, or plain. The clients and the server share the cores. `in process` are threads that search with one
open library, as many as the server has. `load` are 50 clients for a minute; a server may refuse a request
with 503 while its queue is full, which is not an error. The memory of the server is read before and after
many requests, of which one in SEARCH_EVERY is a search and the others are those of a page.
"""

import argparse
import http.client
import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from urllib.parse import urlencode

from common import Cloud, alone, clew, emit, machine, make_library, table

from indexer.maintenance.build_index import build_if_due
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.store.writer import LibraryWriter
from retrieval.embedders.registry import load_embedder
from retrieval.library import Library
from retrieval.query.options import SearchOptions
from retrieval.server.options import ServerOptions

KINDS = {"image": 0.7, "text": 0.2, "video": 0.1}
NOUNS = ("dog", "car", "beach", "house", "child", "tree", "street", "river", "table", "horse")
COLORS = ("red", "green", "blue", "yellow", "white", "black", "brown", "gray", "old", "small")
HITS = 40
LOAD_CLIENTS = 50
SEARCH_EVERY = 40  # requests


def query(number: int) -> str:
    """Return one of many queries."""
    noun, color = NOUNS[number % 10], COLORS[number // 10 % 10]
    return f"a {color} {noun} number {number}"


def measure(work: Callable[[int], object], clients: int, seconds: float) -> dict[str, object]:
    """Call work(number) from threads for some seconds; return the rate, the quantiles and the errors."""
    numbers, times, errors, refused = count(), list[float](), list[str](), list[str]()
    end = perf_counter() + seconds

    def call_until_end() -> None:
        while (begun := perf_counter()) < end:
            try:
                work(next(numbers))
            except Refused as error:
                refused.append(str(error))
            except Exception as error:
                errors.append(repr(error))
            else:
                times.append(perf_counter() - begun)

    threads = [threading.Thread(target=call_until_end) for _ in range(clients)]
    begun = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cuts = quantiles(times, n=100)
    return {
        "clients": clients,
        "a second": len(times) / (perf_counter() - begun),
        "p50 ms": 1000 * cuts[49],
        "p95 ms": 1000 * cuts[94],
        "p99 ms": 1000 * cuts[98],
        "errors": len(errors),
        "refused": len(refused),
    }


def in_process(folder: Path, group: bool, clients: int, seconds: float) -> dict[str, object]:
    """Measure searches of threads with one open library."""
    with Library.open(folder) as library, ThreadPoolExecutor(ServerOptions().threads) as pool:
        options = SearchOptions(group=group)

        def search(number: int) -> None:
            pool.submit(library.search, query(number), count=HITS + 1, options=options).result()

        search(0)
        return measure(search, clients, seconds)


class Refused(Exception):
    """An answer of a server whose queue is full."""


class Clients(threading.local):
    """A connection of each thread that is kept open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str) -> bytes:
        """Return the body of an answer; raises RuntimeError for an error."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status == 503 and answer.headers["Retry-After"]:
            raise Refused(body.decode())
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {body[:200]!r}")
        return body


def through_http(port: int, group: bool, clients: int, seconds: float) -> dict[str, object]:
    """Measure searches of clients with a connection each."""
    each = Clients(port)

    def search(number: int) -> None:
        each.get(f"/api/search?{urlencode({'q': query(number), 'count': HITS, 'group': int(group)})}")

    search(0)
    return measure(search, clients, seconds)


def many_requests(port: int, process: int, requests: int) -> dict[str, object]:
    """Send requests of a page from a few clients; return the memory of the server before and after them."""
    each, errors = Clients(port), list[str]()
    items = json.loads(each.get(f"/api/search?q=a+dog&count={HITS}"))["items"]
    pages = ["/healthz", "/", "/page/main.js", "/api/timeline", "/api/facets", "/api/status"]
    pages += [f"/api/segments/{item['id']}" for item in items[:10]]

    def send(number: int) -> None:
        search = f"/api/search?{urlencode({'q': query(number), 'count': HITS})}"
        try:
            each.get(pages[number % len(pages)] if number % SEARCH_EVERY else search)
        except Exception as error:
            errors.append(repr(error))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(requests // 10)))  # caches and pools are filled
        before, begun = memory(process), perf_counter()
        list(pool.map(send, range(requests // 10, requests)))
    after = memory(process)
    return {
        "requests": requests,
        "a second": 0.9 * requests / (perf_counter() - begun),
        "errors": len(errors),
        "MB after a tenth": before[1],
        "MB after all": after[1],
        "ratio": after[1] / before[1],
        "anonymous ratio": after[0] / before[0],
    }


def start(folder: Path) -> tuple["subprocess.Popen[str]", int, float, float]:
    """Start a server; return the process, the port, and the seconds to the first answer and search."""
    begun = perf_counter()
    command: Sequence[str | Path] = (clew(), "serve", "--library", folder, "--port", "0", "--no-open")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r":(\d+)/", line)
    if found is None:
        raise RuntimeError(line + process.stderr.read())
    clients = Clients(int(found[1]))
    clients.get("/healthz")
    ready = perf_counter() - begun
    assert json.loads(clients.get("/api/search?q=a+dog"))["items"]
    return process, int(found[1]), ready, perf_counter() - begun


def memory(process: int) -> tuple[float, float]:
    """Return the memory of a process in MB: without its mapped files, and with them."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":" in line
    )
    return int(fields["RssAnon"].split()[0]) * 1024 / 1e6, int(fields["VmRSS"].split()[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--load", type=float, default=60.0, help="seconds with 50 clients")
    parser.add_argument("--requests", type=int, default=100_000, help="before the memory is read again")
    parser.add_argument("--library", type=Path, help="a library to search instead of a synthetic one")
    parser.add_argument("--smoke", action="store_true", help="a small library and one second each")
    options = parser.parse_args()
    segments, seconds = (2_000, 1.0) if options.smoke else (options.segments, options.seconds)
    load, requests = (2.0, 400) if options.smoke else (options.load, options.requests)
    print(machine())
    with tempfile.TemporaryDirectory() as place:
        folder = options.library or Path(place) / "library"
        if options.library is None:
            embedder = load_embedder("builtin")
            make_library(folder, Cloud(segments, embedder.dim, 5), KINDS, embedder)
            with LibraryWriter(folder, lambda _: embedder) as writer:
                calibrate_if_due(writer, build_if_due(writer), embedder)
        process, port, ready, first = start(folder)
        try:
            rows = []
            for group in (False, True):
                shown = "grouped" if group else "plain"
                for clients in (1, 8):
                    rows += [
                        {"search": f"{shown}, HTTP"} | alone(through_http, port, group, clients, seconds),
                        {"search": f"{shown}, in process"}
                        | alone(in_process, folder, group, clients, seconds),
                    ]
            table(rows)
            loads = [
                {"load": "grouped, HTTP"} | alone(through_http, port, True, LOAD_CLIENTS, load),
                {"load": "grouped, in process"} | alone(in_process, folder, True, LOAD_CLIENTS, load),
            ]
            table(loads)
            anonymous, resident = memory(process.pid)
            grown = alone(many_requests, port, process.pid, requests)
        finally:
            process.terminate()
            code = process.wait(30)
    table([grown])
    start_row = {"start s": ready, "first s": first, "MB": resident, "anonymous MB": anonymous, "exit": code}
    table([start_row])
    emit(
        "server",
        segments=segments,
        seconds=seconds,
        searches=rows,
        load=loads,
        memory=grown,
        server=start_row,
    )


if __name__ == "__main__":
    main()
