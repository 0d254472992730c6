"""Images are downloaded only when allowed, never from private networks, and within limits."""

import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from time import sleep

import pytest
from PIL import Image

from retrieval import SearchOptions
from retrieval.errors import QueryError
from retrieval.media import download as fetching
from retrieval.media.download import fetch
from retrieval.media.limits import DecodeLimits


@pytest.fixture
def site():
    """Serve a red image, redirects to it, to itself and to a file, on loopback."""
    png = BytesIO()
    Image.new("RGB", (8, 8), "red").save(png, "PNG")

    targets = {
        "/there": "/red.png?size=1",
        "/loop": "/loop",
        "/inward": "file:///etc/passwd",
        **{f"/chain/{left}": f"/chain/{left - 1}" for left in range(1, 6)},
        "/chain/0": "/red.png",
        "/beyond-ascii": "/red.png/café 1.jpg?x=ü%20y".encode().decode("latin-1"),
    }

    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/slow"):
                self.answer_slowly(self.path == "/slow-headers")
            elif self.path.startswith(("/red.png", "/caf%C3%A9.png?x=%C3%BC")):
                self.answer(200, png.getvalue())
            else:
                self.answer(302 if self.path in targets else 404, b"", targets.get(self.path))

        def answer(self, status, body, location=None):
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def answer_slowly(self, in_headers):
            """Send a byte every tenth of a second, in the headers or in a body without a length."""
            self.send_response(200)
            if not in_headers:
                self.end_headers()
            self.flush_headers()
            with suppress(OSError):
                for _ in range(40):
                    self.wfile.write(b"x")
                    sleep(0.1)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_redirects_are_followed(site):
    assert Image.open(fetch(f"{site}/there", allow_private=True)).size == (8, 8)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/loop", "more than 5 redirects"),
        ("/chain/5", "more than 5 redirects"),
        ("/none", "returned 404"),
        ("/inward", "Invalid URL"),
    ],
)
def test_failed_download_is_reported(site, path, message):
    with pytest.raises(QueryError, match=message):
        fetch(site + path, allow_private=True)


@pytest.mark.parametrize("path", ["/chain/4", "/beyond-ascii", "/café.png?x=ü", "/caf%C3%A9.png?x=%C3%BC"])
def test_five_redirects_and_characters_beyond_ascii_are_accepted(site, path):
    assert Image.open(fetch(site + path, allow_private=True)).size == (8, 8)


@pytest.mark.parametrize("path", ["/slow-headers", "/slow-body"])
def test_slow_download_ends_at_its_time_limit(site, path):
    with pytest.raises(QueryError, match="took more than 1 s"):
        fetch(site + path, allow_private=True, limits=DecodeLimits(max_download_seconds=1))


def test_silent_server_is_reported_while_the_thread_that_ends_the_download_still_runs(monkeypatch):
    abort = fetching._PinnedHTTPConnection.abort

    def abort_and_wait(connection):
        abort(connection)
        sleep(0.5)  # on a loaded machine

    monkeypatch.setattr(fetching._PinnedHTTPConnection, "abort", abort_and_wait)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(QueryError, match="took more than 1 s"),
    ):
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        fetch(address, allow_private=True, limits=DecodeLimits(max_download_seconds=1))


def test_download_has_a_size_limit(site):
    with pytest.raises(QueryError, match="more than 10 bytes"):
        fetch(f"{site}/red.png", allow_private=True, limits=DecodeLimits(max_download_bytes=10))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]",
     "[fe80::1]", "[64:ff9b::a00:1]", "[::7f00:1]", "[fec0::1]",
     "0.0.0.0", "224.0.0.1", "[2002:7f00:1::]", "2130706433",
     "[64:ff9b:1::7f00:1]", "[64:ff9b:1:fffe::7f00:1]", "[::ffff:0:127.0.0.1]", "[5f00::1]", "[3fff::1]",
     "[100::1]", "[fc00::1]", "[2001:db8::1]"],
)  # fmt: skip
def test_private_addresses_are_rejected(host):
    with pytest.raises(QueryError, match=r"private network|Cannot resolve"):
        fetch(f"http://{host}:9/x.png")


@pytest.mark.parametrize("address", ["ftp://a.example/x", "http://", "http://a:99999/", "http://[/", "x"])
def test_invalid_urls_are_rejected(address):
    with pytest.raises(QueryError, match="Invalid URL"):
        fetch(address)


def test_query_downloads_only_with_permission(library, site, monkeypatch):
    with pytest.raises(QueryError, match="--allow-url"):
        library.search(f"{site}/red.png")
    with pytest.raises(QueryError, match="private network"):
        library.search(f"{site}/red.png", options=SearchOptions(allow_url=True))
    monkeypatch.setattr(fetching, "_is_public", lambda ip: True)
    hits = library.search(f"{site}/red.png", count=1, options=SearchOptions(allow_url=True))
    assert hits[0].path.name == "red.png"
    assert hits[0].score == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:0:8.8.8.8", "2002:808:808::1"],
)
def test_public_addresses_are_accepted(address):
    assert fetching._is_public(address)
