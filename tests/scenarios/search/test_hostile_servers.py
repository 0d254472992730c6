"""A search of other servers, whatever they answer, ends with hits that can be written or with one message."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest
from PIL import Image

from retrieval import Libraries, SearchOptions
from retrieval.errors import LibraryError, QueryError
from retrieval.federation import remote_library
from retrieval.federation.remote_library import RemoteLibrary
from retrieval.query.parser import parse

ITEM = {
    **dict.fromkeys(("text", "source", "start", "end", "page", "box")),
    **{"id": 1, "score": 0.5, "confidence": 0.9, "kind": "image", "path": "/photos/1.png", "space": "toy"},
    **{"time": "2022-06-26T12:00:00", "timed": False, "offline": False, "match": "confident", "more": []},
}
NO_SERVER = "does not answer as `clew serve` does"


@contextmanager
def answering(body, status=200, headers=(), thumbnail=b""):
    """Answer every POST with a body, and every GET with a thumbnail; yield the address and the requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.answer(body if isinstance(body, bytes) else json.dumps(body).encode())

        def do_GET(self):
            self.answer(thumbnail)

        def answer(self, data):
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            requests.append((sent, self.headers.get("Authorization")))
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(data)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


def answer_with(**values):
    return {"items": [ITEM | values], "note": None, "cursor": None}


def search(address, token=None, **options):
    with Libraries.open([address], token) as libraries:
        return libraries.search("dog", **options)


def test_hit_of_a_server_and_its_group_name_the_server():
    with answering(answer_with(more=[ITEM | {"id": 2}])) as (address, _):
        (hit,) = search(address)
        assert (hit.id, hit.match, hit.library) == (1, "confident", address)
        assert [(member.id, member.library) for member in hit.more] == [(2, address)]


@pytest.mark.parametrize(
    "values",
    [
        {"id": "../1"}, {"id": -1}, {"score": float("nan")}, {"score": 10**400}, {"confidence": "high"},
        {"confidence": 2.0}, {"kind": "\x1b[2J"}, {"text": 5}, {"text": "\ud800"}, {"time": 7},
        {"page": "x"}, {"box": [1]}, {"start": float("inf")}, {"more": {}}, {"more": [{}]}, {"space": None},
        {"path": None},
    ],
)  # fmt: skip
def test_hit_with_an_invalid_value_is_an_error(values):
    with answering(answer_with(**values)) as (address, _), pytest.raises(LibraryError, match=NO_SERVER):
        search(address)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000, b"no JSON", {}, [], {"items": [], "note": {}, "cursor": None},
        {"items": [], "note": None, "cursor": 5},
    ],
)  # fmt: skip
def test_answer_that_is_none_of_a_search_is_an_error(body):
    with answering(body) as (address, _), pytest.raises(LibraryError, match=NO_SERVER):
        search(address)


def test_search_ends_although_the_server_always_names_a_next_page():
    with answering(answer_with() | {"cursor": "next"}) as (address, requests):
        assert {hit.id for hit in search(address, count=5_000)} == {1}
        assert len(requests) == 2


@pytest.mark.parametrize("body", [b"[" * 100_000, {"error": "x" * 100_000}, b"\xff"])
def test_refusal_without_a_short_reason_is_named_by_its_status(body):
    with answering(body, status=400) as (address, _), pytest.raises(QueryError) as caught:
        search(address)
    assert str(caught.value) == "the server answered 400"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(status):
    with answering(answer_with()) as (other, requests):
        with (
            answering(b"", status, [("Location", other)]) as (address, _),
            pytest.raises(LibraryError, match="refers to another address"),
        ):
            search(address, "secret")
        assert requests == []


def test_answer_that_takes_too_long_or_is_too_long_is_an_error(monkeypatch):
    with answering(answer_with(text="x" * 200_000)) as (address, _):
        monkeypatch.setattr(remote_library, "MAX_ANSWER_BYTES", 100_000)
        with pytest.raises(LibraryError, match="too long"):
            search(address)
        monkeypatch.setattr(remote_library, "MAX_ANSWER_BYTES", 1_000_000)
        assert len(search(address)) == 1
        times = iter(range(0, 1_000, 20))
        monkeypatch.setattr(remote_library, "monotonic", lambda: next(times))
        with pytest.raises(LibraryError, match="took more than 30 s"):
            search(address)


@pytest.mark.parametrize("token", ["secret\r\n", "secret\u20ac"])
def test_token_that_no_header_can_contain_is_an_error_that_does_not_show_it(token):
    with pytest.raises(LibraryError, match="CLEW_TOKEN") as caught:
        RemoteLibrary("http://127.0.0.1:9", token)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["http://", "http://[::1", "http://home:99999", "http://home/?token=secret", "http://me:secret@home"],
)
def test_address_with_more_than_a_place_is_an_error_that_does_not_show_it(address):
    with pytest.raises(LibraryError, match="http://HOST:PORT") as caught:
        Libraries.open([address])
    assert "secret" not in str(caught.value)


def test_empty_token_is_not_sent(clew, monkeypatch):
    monkeypatch.setenv("CLEW_TOKEN", "")
    with answering(answer_with()) as (address, requests):
        assert clew("search", "dog", "--library", address).exit_code == 0
        assert [token for _, token in requests] == [None]


def test_no_library_is_an_error():
    with pytest.raises(LibraryError, match="Give a folder"):
        Libraries.open([])


def webp(side):
    with BytesIO() as file:
        Image.new("L", (side, 1)).save(file, "WEBP")
        return file.getvalue()


@pytest.mark.parametrize(
    ("data", "is_shown"), [(webp(320), True), (webp(16_000), False), (b"GIF89a", False), (b"", False)]
)
def test_thumbnail_is_a_small_webp(data, is_shown):
    with answering(answer_with(), thumbnail=data) as (address, _):
        remote = RemoteLibrary(address)
        assert remote.thumbnail(remote.search(parse("dog"))[0]) == (data if is_shown else None)


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        ("kind:image", SearchOptions(sort="name"), "newest files"),
        ("kind:image", SearchOptions(sort="date"), "newest files"),
        ("dog", SearchOptions(under="./trips"), "'./trips'"),
        ("dog -under:~/trips", SearchOptions(), "'~/trips'"),
    ],
)
def test_question_that_a_server_would_take_otherwise_is_refused(words, options, message):
    with answering(answer_with()) as (address, requests):
        with pytest.raises(QueryError, match=message):
            RemoteLibrary(address).search(parse(words), options=options)
        assert requests == []


def test_filters_of_any_iterable_are_sent():
    with answering(answer_with()) as (address, requests):
        options = SearchOptions(tag={"sea"}, camera=iter(["Canon"]))
        RemoteLibrary(address).search(parse("dog"), options=options)
        assert [json.loads(sent)["q"] for sent, _ in requests] == ['dog camera:"Canon" tag:"sea"']
