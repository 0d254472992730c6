"""A server of the page in a thread, and the browser that opens it."""

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from retrieval.library import Library
from retrieval.server.app import create_app
from retrieval.server.http_server import create_server
from retrieval.server.options import ServerOptions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MONTHS = [f"{year}-{month:02}" for year in (2024, 2023) for month in range(12, 0, -1)]
PER_MONTH = 500
LONG_MS = 20_000  # for anything that the page does on a busy machine


@contextmanager
def serving(library: Path, embedder: Any, **options: Any) -> Iterator[str]:
    """Serve a library in a thread, as `clew serve` does; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = create_server(
            create_app(Library.open(library, embedder=embedder), ServerOptions(port=port, **options))
        )
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join(10)


@contextmanager
def launched_browser() -> Iterator[Any]:
    """Yield a headless browser; skips the test if it or Playwright is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def month_columns(month: str, count: int) -> dict[str, Any]:
    """Return the answer of the server for a month of photos, in columns."""
    first = int(month.replace("-", "")) * 1000
    return {
        "id": [first + n for n in range(count)],
        "ratio": [(1.5, 1.33, 0.75, 1.78)[n % 4] for n in range(count)],
        "placeholder": [None] * count,
        "kind": ["image"] * count,
        "duration": [None] * count,
        "day": [28 - 27 * n // count for n in range(count)],
        "folder": ["Harbor"] * count,
        "name": [f"{month}-{n}.jpg" for n in range(count)],
        "offset": 0,
        "more": False,
    }


def hit(number: int, confidence: float, **keys: Any) -> dict[str, Any]:
    """Return a hit of a photo as the server describes it."""
    defaults = dict.fromkeys(
        ("text", "start", "end", "page", "box", "source", "duration", "length", "placeholder")
    )
    return {
        **defaults,
        **{"id": number, "score": confidence, "confidence": confidence, "kind": "image", "space": "toy"},
        **{"path": f"/photos/{number}.jpg", "name": f"{number}.jpg", "folder": "photos", "ratio": 1.5},
        **{"match": "confident" if confidence >= 0.75 else "weak", "timed": False, "offline": False},
        **{"time": "2022-06-26T12:00:00", "thumbnail": True, "more": [], "moments": []},
        **keys,
    }


def answer(*items: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Return an answer to a search."""
    return {"items": items, "cursor": None, "offers": {"read_as": [], "narrow_to": []}, "total": None, **keys}


def reply(body):
    """Return a handler that answers with JSON, or with what a function of the request returns."""

    def handle(route):
        content = body(route.request) if callable(body) else body
        route.fulfill(body=json.dumps(content), content_type="application/json")

    return handle


def picture(route):
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="3" height="2"><rect width="3" height="2"/></svg>'
    route.fulfill(body=svg, content_type="image/svg+xml")


def of_month(number):
    """Return the details of a photo, whose id begins with its month."""
    return hit(int(number), 0.9, time=f"{number[:4]}-{number[4:6]}-20T12:00:00")


THOUSANDS = (
    (r"/thumbnail", picture),
    (
        r"/api/timeline(\?|$)",
        reply(
            {
                "total": PER_MONTH * len(MONTHS),
                "years": {},
                "undated": 0,
                "buckets": [{"month": month, "count": PER_MONTH} for month in MONTHS],
            }
        ),
    ),
    (r"/api/timeline/\d", reply(lambda request: month_columns(urlsplit(request.url).path[-7:], PER_MONTH))),
    (
        r"/api/segments/\d+(\?|$)",
        reply(lambda request: of_month(urlsplit(request.url).path.split("/")[3])),
    ),
)


def query_string(page):
    """Return the query of the address; `page.url` may be that of a moment ago."""
    return page.evaluate("location.search")


def names(page):
    """Return the names of the tiles in the document, in their order."""
    return page.eval_on_selector_all(".tile", "tiles => tiles.map(tile => tile.item.name)")


def until(page, condition):
    """Wait until a condition holds; the policy of the page forbids Playwright's own way."""
    deadline = time.monotonic() + LONG_MS / 1000
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < deadline, f"still false: {condition}"
        page.wait_for_timeout(30)


def place_of(page, number):
    return round(page.locator(f'.tile[data-id="{number}"]').bounding_box()["y"])


def first_in_sight(page):
    return page.evaluate("clew.grid.anchor().id")


def wait_for_pictures(page):
    until(page, "document.querySelectorAll('.tile img').length > 5")
