"""Images are downloaded only when allowed, never from private networks, and within limits."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

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

    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/red.png"):
                self.answer(200, png.getvalue())
            elif self.path == "/there":
                self.answer(302, b"", "/red.png?size=1")
            elif self.path == "/loop":
                self.answer(302, b"", "/loop")
            elif self.path == "/inward":
                self.answer(302, b"", "file:///etc/passwd")
            else:
                self.answer(404, b"")

        def answer(self, status, body, location=None):
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

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
        ("/none", "returned 404"),
        ("/inward", "Invalid URL"),
    ],
)
def test_failed_download_is_reported(site, path, message):
    with pytest.raises(QueryError, match=message):
        fetch(site + path, allow_private=True)


def test_download_has_a_size_limit(site):
    with pytest.raises(QueryError, match="more than 10 bytes"):
        fetch(f"{site}/red.png", allow_private=True, limits=DecodeLimits(max_download_bytes=10))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]",
     "[fe80::1]", "[64:ff9b::a00:1]", "[::7f00:1]", "[fec0::1]",
     "0.0.0.0", "224.0.0.1", "[2002:7f00:1::]", "2130706433"],
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
