"""Fetch a picture from the network, where that is allowed: http and https, public addresses only."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BytesIO
from ssl import create_default_context
from threading import Timer
from time import monotonic
from urllib.parse import SplitResult, urljoin, urlsplit

from retrieval.errors import QueryError

MAX_DOWNLOAD_BYTES = 50_000_000  # bytes
TIMEOUT_SECONDS = 20.0  # in all
MAX_REDIRECTS = 5
CHUNK_BYTES = 65_536
IPV4_EMBEDDING_NETWORKS = (
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("::/96"),
)  # of IPv4 in their end


def fetch(url: str, *, allow_private: bool = False) -> BytesIO:
    """Return what is at an address; raises QueryError, which says why not.

    The name is looked up once and that very address is connected to, so that it cannot turn into another.
    `private` allows addresses of one's own network.
    """
    begun = monotonic()
    for _ in range(MAX_REDIRECTS):
        with _request(url, allow_private, TIMEOUT_SECONDS - (monotonic() - begun)) as answer:
            if answer.status in (301, 302, 303, 307, 308) and (place := answer.getheader("Location")):
                url = urljoin(url, place)
                continue
            if answer.status != 200:
                raise QueryError(f"{url} answers {answer.status} {answer.reason}.")
            return _read_body(answer, url, begun)
    raise QueryError(f"{url} leads on more than {MAX_REDIRECTS} times.")


@contextmanager
def _request(url: str, allow_private: bool, timeout: float) -> Iterator[HTTPResponse]:
    """Ask for an address, and close the connection after."""
    parts = _parse_url(url)
    place = _resolve_host(parts, allow_private)
    connection = _PinnedHTTPSConnection if parts.scheme == "https" else _PinnedHTTPConnection
    opened = connection(str(parts.hostname), place[1], place, max(0.1, timeout))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # However slowly it comes: a socket's own timeout begins anew with every byte.
    deadline = Timer(max(0.1, timeout), opened.abort)
    deadline.start()
    try:
        opened.request("GET", target, headers={"User-Agent": "clew", "Accept": "image/*"})
        yield opened.getresponse()
    except (OSError, HTTPException, ValueError) as error:
        late = f"longer than {TIMEOUT_SECONDS:.0f} seconds" if not deadline.is_alive() else ""
        said = late or str(error) or type(error).__name__
        raise QueryError(f"{url} cannot be fetched: {said}.") from error
    finally:
        deadline.cancel()
        opened.close()


def _parse_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise QueryError(f"{url} is no address that can be fetched; http:// or https:// begin one.")
    return parts


def _resolve_host(url_parts: SplitResult, allow_private: bool) -> tuple[str, int]:
    """Return the address of a host; raises QueryError where it lies in a private network."""
    port = url_parts.port or (443 if url_parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(url_parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise QueryError(f"There is no host {url_parts.hostname}, or no network.") from error
    places = [str(place[0]) for *_, place in found]
    if not allow_private and not all(map(_is_public, places)):
        raise QueryError(f"{url_parts.hostname} lies in a private network, from which nothing is fetched.")
    return places[0], port


def _is_public(ip: str) -> bool:
    """Say whether an IP address is one of the open network, also where it is written as another kind."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    inner = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if any(address in network for network in IPV4_EMBEDDING_NETWORKS):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.is_site_local:
            return False
    return all(one.is_global and not one.is_multicast for one in (address, inner) if one is not None)


def _read_body(response: HTTPResponse, url: str, started: float) -> BytesIO:
    """Read an answer within the limits of size and time."""
    page = BytesIO()
    while piece := response.read1(CHUNK_BYTES):
        page.write(piece)
        if page.tell() > MAX_DOWNLOAD_BYTES:
            raise QueryError(f"{url} has more than {MAX_DOWNLOAD_BYTES:,} bytes.")
        if monotonic() - started > TIMEOUT_SECONDS:
            raise QueryError(f"{url} takes longer than {TIMEOUT_SECONDS:.0f} seconds.")
    if response.length:  # of what was promised
        raise QueryError(f"{url} broke off, or takes longer than {TIMEOUT_SECONDS:.0f} seconds.")
    page.seek(0)
    return page


class _PinnedHTTPConnection(HTTPConnection):
    """A connection to an address that was looked up before."""

    def __init__(self, host: str, port: int | None, address: tuple[str, int], timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self.address = address

    def connect(self) -> None:
        self.sock = socket.create_connection(self.address, self.timeout)

    def abort(self) -> None:
        _shut_down_socket(self.sock)


class _PinnedHTTPSConnection(HTTPSConnection):
    """The same, with the certificate held to the host's name."""

    def __init__(self, host: str, port: int | None, address: tuple[str, int], timeout: float) -> None:
        self.ssl_context = create_default_context()
        super().__init__(host, port, timeout=timeout, context=self.ssl_context)
        self.address = address

    def connect(self) -> None:
        plain = socket.create_connection(self.address, self.timeout)
        self.sock = plain  # which the deadline may shut while keys are exchanged
        self.sock = self.ssl_context.wrap_socket(plain, server_hostname=self.host)

    def abort(self) -> None:
        _shut_down_socket(self.sock)


def _shut_down_socket(sock: socket.socket | None) -> None:
    """End a connection that another thread waits on."""
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
