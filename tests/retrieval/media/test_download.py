"""Pictures on the network: fetched only when allowed, never from a private network, within limits."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest
from PIL import Image

from retrieval.errors import QueryError
from retrieval.media import download as fetching
from retrieval.media.download import fetch


@pytest.fixture
def site():
    """Serve a red picture, a way to it, a loop, and more bytes than anybody wants, on loopback."""
    page = BytesIO()
    Image.new("RGB", (8, 8), "red").save(page, "PNG")

    class Site(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/red.png"):
                self.answer(200, page.getvalue())
            elif self.path == "/there":
                self.answer(302, b"", "/red.png?size=1")
            elif self.path == "/loop":
                self.answer(302, b"", "/loop")
            elif self.path == "/inward":
                self.answer(302, b"", "file:///etc/passwd")
            else:
                self.answer(404, b"")

        def answer(self, status, body, place=None):
            self.send_response(status)
            if place:
                self.send_header("Location", place)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_picture_is_fetched_by_way_of_others(site):
    assert Image.open(fetch(f"{site}/there", allow_private=True)).size == (8, 8)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/loop", "leads on more than"),
        ("/none", "answers 404"),
        ("/inward", "no address that can be fetched"),
    ],
)
def test_what_cannot_be_had_is_said(site, path, message):
    with pytest.raises(QueryError, match=message):
        fetch(site + path, allow_private=True)


def test_more_than_the_limit_is_not_read(site, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_DOWNLOAD_BYTES", 10)
    with pytest.raises(QueryError, match="more than 10 bytes"):
        fetch(f"{site}/red.png", allow_private=True)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]",
     "[fe80::1]", "[64:ff9b::a00:1]", "[::7f00:1]", "[fec0::1]",
     "0.0.0.0", "224.0.0.1", "[2002:7f00:1::]", "2130706433"],
)  # fmt: skip
def test_a_private_network_is_never_asked(host):
    with pytest.raises(QueryError, match=r"private network|no host"):
        fetch(f"http://{host}:9/x.png")


@pytest.mark.parametrize("address", ["ftp://a.example/x", "http://", "http://a:99999/", "http://[/", "x"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(QueryError, match="no address that can be fetched"):
        fetch(address)


def test_a_query_fetches_only_what_is_allowed(library, site, monkeypatch):
    with pytest.raises(QueryError, match="--allow-url"):
        library.search(f"{site}/red.png")
    with pytest.raises(QueryError, match="private network"):
        library.search(f"{site}/red.png", allow_url=True)
    monkeypatch.setattr(fetching, "_is_public", lambda place: True)
    hits = library.search(f"{site}/red.png", allow_url=True, count=1)
    assert hits[0].path.name == "red.png"
    assert hits[0].score == pytest.approx(1, abs=1e-3)
