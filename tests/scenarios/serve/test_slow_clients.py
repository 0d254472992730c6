"""Bodies without end and clients that send slowly are cut off, while others are answered."""

import json
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from indexer import IndexOptions, update_library
from retrieval.server.http_server import LimitedProtocol
from tests.support.browser import serving
from tests.support.connections import read_to_end, send
from tests.support.files import draw_image
from tests.support.toy_embedder import ToyEmbedder

SLOW_CLIENTS = 200
SECONDS = 1.5  # for a request up to its body, and for a body
MAX_BODY_BYTES = 1_000_000
POST = b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
def port(tmp_path, monkeypatch):
    """Serve a library with small limits; yield the port."""
    monkeypatch.setattr(LimitedProtocol, "header_seconds", SECONDS)
    draw_image(tmp_path / "media" / "red.png", "red")
    update_library(
        [tmp_path / "media"], library=tmp_path / "library", embedder=ToyEmbedder(), options=IndexOptions()
    )
    limits = {"max_body_bytes": MAX_BODY_BYTES, "max_body_seconds": SECONDS}
    with serving(tmp_path / "library", ToyEmbedder(), **limits) as address:
        yield urlsplit(address).port


def connect(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 60)
    connection.sendall(data)
    return connection


def assert_answers_others(port: int) -> None:
    answer = send(port, "/api/search?q=red")
    assert answer.status == 200
    assert [item["name"] for item in json.loads(answer.body)["items"]] == ["red.png"]


def test_body_of_a_false_length_is_refused_before_it_arrives(port):
    with connect(port, POST + b"Content-Length: 1000000000\r\n\r\n" + b"x" * 10) as connection:
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert_answers_others(port)


def test_body_after_its_stated_length_ends_the_connection(port):
    with connect(port, POST + b"Content-Length: 2\r\n\r\n{}" + b"x" * MAX_BODY_BYTES) as connection:
        answers = read_to_end(connection)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 400 " in answers


def test_chunks_without_end_are_cut_off(port):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    begun, sent = time.monotonic(), 0
    with connect(port, POST + b"Transfer-Encoding: chunked\r\n\r\n") as connection:
        try:
            while time.monotonic() < begun + 60:
                connection.sendall(chunk)
                sent += len(chunk)
        except ConnectionError:
            pass
        else:
            pytest.fail(f"{sent:,} bytes were read, and the connection is still open")
    assert sent > MAX_BODY_BYTES
    assert_answers_others(port)


def test_connections_without_a_request_are_closed_while_others_are_answered(port):
    slow = [connect(port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-") for _ in range(SLOW_CLIENTS)]
    for _ in range(5):
        assert_answers_others(port)
        for connection in slow:
            with suppress(ConnectionError):  # closed already
                connection.sendall(b"x")
    for connection in slow:
        with connection:
            assert read_to_end(connection) == b""
    assert_answers_others(port)


def test_slow_bodies_are_refused_while_others_are_answered(port):
    slow = [connect(port, POST + b"Content-Length: 100\r\n\r\n{") for _ in range(SLOW_CLIENTS)]
    for _ in range(5):
        assert_answers_others(port)
    for connection in slow:
        with connection:
            assert read_to_end(connection).startswith(b"HTTP/1.1 408 ")
    assert_answers_others(port)
