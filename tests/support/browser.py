"""A server of the page in a thread, and the browser that opens it."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LONG_MS = 20_000  # for anything that the page does on a busy machine


@contextmanager
def serving(library: Path, embedder: Any) -> Iterator[str]:
    """Serve a library; yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        app = create_app(ServerOptions(library, embedder=embedder, port=port))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
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
