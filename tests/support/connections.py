"""Requests byte by byte, and a record of the connections that this process opens."""

import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TIMEOUT_SECONDS = 30  # less than an idle connection is kept


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer to a request that was sent as it is."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes


def send(
    port: int, target: str, headers: Sequence[tuple[str, str]] = (), method: str = "GET", body: bytes = b""
) -> RawAnswer:
    """Send a request without normalizing its target and headers; a missing Host is added."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        if "host" not in {name.lower() for name, _ in headers}:
            connection.putheader("Host", f"127.0.0.1:{port}")
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return RawAnswer(answer.status, names, answer.read())
    finally:
        connection.close()


def read_to_end(connection: socket.socket) -> bytes:
    """Return what a server sends until it closes the connection."""
    connection.settimeout(TIMEOUT_SECONDS)
    parts = []
    with suppress(ConnectionError):  # closed while the client still sends
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


class _Recorder(BaseHTTPRequestHandler):
    """Record a request; answer `/redirect?to=` with a redirection, others with a text."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        target = parse_qs(urlsplit(self.path).query).get("to")
        self.send_response(302 if target else 200)
        if target:
            self.send_header("Location", target[0])
        self.end_headers()
        self.wfile.write(b"recorded")

    def log_message(self, *arguments) -> None:
        pass


class _RecordingServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, family: int, address: tuple[str, int], requests: list[str]) -> None:
        self.address_family, self.requests = family, requests
        super().__init__(address, _Recorder)

    def get_request(self):
        self.requests.append("connection")
        return super().get_request()


@contextmanager
def recording_server() -> Iterator[tuple[int, list[str]]]:
    """Listen on the loopback addresses; yield the port and a growing list of connections and requests."""
    requests = list[str]()
    with ExitStack() as stack:
        servers = [_RecordingServer(socket.AF_INET, ("127.0.0.1", 0), requests)]
        port = servers[0].server_address[1]
        with suppress(OSError):  # a machine without IPv6
            servers.append(_RecordingServer(socket.AF_INET6, ("::1", port), requests))
        for server in servers:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        yield port, requests


AUDITED_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "open")
_audited: list[tuple[str, str]] | None = None
_hooked: list[bool] = []


def _audit(event: str, arguments: tuple) -> None:
    if _audited is not None and event in AUDITED_EVENTS:
        target = arguments[1] if event == "socket.connect" else arguments[:2]
        _audited.append((event, repr(target)))


@contextmanager
def audited_process() -> Iterator[list[tuple[str, str]]]:
    """Yield a growing list of the connections, look-ups of names and opened files of this process."""
    global _audited
    if not _hooked:
        sys.addaudithook(_audit)  # cannot be removed
        _hooked.append(True)
    _audited = []
    try:
        yield _audited
    finally:
        _audited = None
