"""`clew serve` as a process: it answers, refuses what it must, and stops at a signal."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import click
import pytest

from indexer import index_folder
from retrieval.cli.serving.serve import open_listener, parse_origin
from retrieval.cli.serving.socket_client import ask_server
from retrieval.query.options import SearchOptions
from retrieval.query.parser import parse
from retrieval.system import server_socket
from tests.support.files import draw_image

CLEW = (sys.executable, "-c", "from indexer.cli.main import main; main()")


@pytest.fixture
def built(tmp_path):
    """Return a library of two images, indexed with the built-in model."""
    for color in ("red", "blue"):
        draw_image(tmp_path / "media" / f"{color}.png", color, size=(96, 64))
    index_folder(tmp_path / "media", library=tmp_path / "library", model="builtin").close()
    return tmp_path / "library"


@contextmanager
def serving(library, *options):
    """Run `clew serve`, and yield the process and its address."""
    command = [*CLEW, "serve", "--library", library, "--port", "0", "--no-open", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        found = re.search(r"http://\S+/", line)
        assert found, line + process.stderr.read()
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def get(address, **headers):
    with urlopen(Request(address, headers=headers), timeout=30) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_server_answers_and_stops_at_a_signal(built, number, code):
    with serving(built) as (process, address):
        items = get(f"{address}api/search?q=red")["items"]
        assert {item["name"] for item in items} == {"red.png", "blue.png"}
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in output + errors


@pytest.mark.parametrize(
    ("numbers", "code"), [([signal.SIGTERM], 0), ([signal.SIGINT] * 3, 130)], ids=["SIGTERM", "three SIGINT"]
)
def test_server_stops_while_a_call_runs(built, numbers, code):
    script = f"""
import time
from retrieval.server.routes import search
search.run_search = lambda services, call: print("running", flush=True) or time.sleep(60)
from indexer.cli.main import main
main(["serve", "--library", {str(built)!r}, "--port", "0", "--no-open"])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        address = re.search(r"http://\S+/", process.stderr.readline())[0]
        with ThreadPoolExecutor() as threads:
            answer = threads.submit(get, f"{address}api/search?q=red")
            assert process.stdout.readline() == "running\n"
            for number in numbers:
                process.send_signal(number)
                time.sleep(0.3)
            output, errors = process.communicate(timeout=20)
            with pytest.raises(HTTPError, match="503") as error:
                answer.result()
            error.value.close()
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == code
    assert "Traceback" not in output + errors
    assert not server_socket(built).exists()


def test_only_loopback_listens(built):
    with serving(built) as (_, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        get(f"{address}healthz")
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        local = [line[1] for line in lines if line[3] == "0A" and int(line[1].partition(":")[2], 16) == port]
        assert local == [f"0100007F:{port:04X}"]


def test_watch_finds_new_files_while_the_server_answers(built):
    with serving(built, "--watch") as (process, address):
        draw_image(built.parent / "media" / "green.png", "green", size=(96, 64))
        end = time.monotonic() + 60
        names = set()
        while "green.png" not in names and time.monotonic() < end:
            time.sleep(0.2)
            names = {item["name"] for item in get(f"{address}api/search?q=kind:image")["items"]}
        assert "green.png" in names
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "added" in errors
    assert "Traceback" not in output + errors


def test_watch_of_a_missing_library_is_an_error(tmp_path):
    command = [*CLEW, "serve", "--library", tmp_path / "none", "--port", "0", "--no-open", "--watch"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


def test_port_in_use_is_reported(built):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [*CLEW, "serve", "--library", built, "--port", port, "--no-open"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert f"Port {port} of 127.0.0.1 is in use" in run.stderr


def test_other_address_needs_a_token_and_says_what_it_exposes(built):
    command = [*CLEW, "serve", "--library", built, "--host", "0.0.0.0", "--port", "0", "--no-open"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "--token" in run.stderr
    process = subprocess.Popen([*command, "--token", "s3cret"], stderr=subprocess.PIPE, text=True)
    try:
        text = process.stderr.readline()
        while "http://" not in text:
            text += process.stderr.readline()
        assert "search this library and read its" in text
        address = re.search(r"http://\S+/", text)[0]
        assert get(f"{address}api/status", Authorization="Bearer s3cret")["version"]
    finally:
        process.kill()
        process.communicate()


def test_missing_library_is_reported(tmp_path):
    command = [*CLEW, "serve", "--library", tmp_path / "none", "--port", "0", "--no-open"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 2
    assert "clew index" in run.stderr


def test_connection_without_a_request_is_closed(built):
    code = f"""
from retrieval.server import http_server
http_server.LimitedProtocol.header_seconds = 0.5
from indexer.cli.main import main
main(["serve", "--library", {str(built)!r}, "--port", "0", "--no-open"])
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r":(\d+)/", process.stderr.readline())[1])
        with socket.create_connection(("127.0.0.1", port), 30) as slow:
            slow.settimeout(30)
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            assert slow.recv(100) == b""
        with socket.create_connection(("127.0.0.1", port), 30) as kept:
            kept.settimeout(30)
            for _ in range(3):  # requests on one connection, with pauses between them
                kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                answer = kept.recv(4_000)
                while not answer.endswith(b"}"):
                    answer += kept.recv(4_000)
                assert b"200 OK" in answer
                time.sleep(0.7)
    finally:
        process.kill()
        process.communicate()


def test_connection_sends_each_part_of_an_answer_at_once():
    with open_listener("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_named_sites_may_call_the_api(built):
    with serving(
        built, "--allow-origin", "https://Friend.example:443/", "--allow-origin", "http://a.b:81"
    ) as (
        _,
        address,
    ):
        for origin in ("https://friend.example", "http://a.b:81"):
            assert get(f"{address}api/status", Origin=origin)["version"]
        with pytest.raises(HTTPError, match="403"):
            get(f"{address}api/status", Origin="https://evil.example")


@pytest.mark.parametrize(
    "text",
    [
        *("*", "null", "friend.example", "https://", "https://*.example", "ftp://friend.example"),
        *("https://friend.example/page", "https://user@friend.example", "https://friend.example:port"),
        *("https://friend.example?q=1", "https://[::1", ""),
    ],
)
def test_site_that_is_no_origin_is_refused(text):
    with pytest.raises(click.BadParameter, match=r"https://example\.org"):
        parse_origin(text)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Friend.Example", "https://friend.example"),
        ("https://friend.example:443/", "https://friend.example"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_site_is_written_as_browsers_send_it(text, origin):
    assert parse_origin(text) == origin


def test_several_libraries_are_served_as_one(built, tmp_path):
    draw_image(tmp_path / "more" / "green.png", "green", size=(96, 64))
    index_folder(tmp_path / "more", library=tmp_path / "other", model="builtin").close()
    with (
        serving(tmp_path / "other") as (_, far),
        serving(built, "--library", tmp_path / "other", "--library", far) as (process, address),
    ):
        items = get(f"{address}api/search?q=kind:image")["items"]
        assert Counter(item["library"] for item in items) == {
            str(built): 2,
            str(tmp_path / "other"): 1,
            far: 1,
        }
        for library, names in ((built, {"red.png", "blue.png"}), (tmp_path / "other", {"green.png"})):
            answer = ask_server(library, parse("red"), (), 10, SearchOptions())
            assert {hit.path.name for hit in answer.hits} == names
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in errors
