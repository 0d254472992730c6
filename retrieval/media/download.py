"""Download images from http and https URLs on public addresses, within limits of size and time."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BytesIO
from ssl import create_default_context
from threading import Timer
from time import monotonic
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from retrieval.errors import QueryError
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

MAX_REDIRECTS = 5
CHUNK_BYTES = 65_536
# IPv6 networks whose last 32 bits are an IPv4 address: NAT64, IPv4-translated and IPv4-compatible addresses.
IPV4_EMBEDDING_NETWORKS = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")  # all public addresses that do not embed an IPv4 address
IPV6_DOCUMENTATION = ipaddress.ip_network("3fff::/20")  # unknown to Python before 3.12.4
URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"  # that are not quoted, because they have a meaning or are quotes


def fetch(url: str, *, allow_private: bool = False, limits: DecodeLimits = DEFAULT_LIMITS) -> BytesIO:
    """Return the content of a URL; raises QueryError.

    The host is resolved once, and the connection uses the address that was checked (DNS rebinding).
    `allow_private` allows addresses of private networks.
    """
    started = monotonic()
    for _ in range(MAX_REDIRECTS + 1):
        with _request(url, allow_private, started, limits) as response:
            if response.status in (301, 302, 303, 307, 308) and (target := response.getheader("Location")):
                url = urljoin(url, _decode_header(target))
                continue
            if response.status != 200:
                raise QueryError(f"{url} returned {response.status} {response.reason}.")
            return _read_body(response, url, started, limits)
    raise QueryError(f"{url} has more than {MAX_REDIRECTS} redirects.")


@contextmanager
def _request(url: str, allow_private: bool, started: float, limits: DecodeLimits) -> Iterator[HTTPResponse]:
    """Send a GET request, and close the connection at the end."""
    parts = _parse_url(url)
    address = _resolve_host(parts, allow_private)
    connection_class = _PinnedHTTPSConnection if parts.scheme == "https" else _PinnedHTTPConnection
    timeout = max(0.1, limits.max_download_seconds - (monotonic() - started))
    connection = connection_class(str(parts.hostname), address[1], address, timeout)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), URL_CHARACTERS)
    # The timeout of a socket restarts with every byte.
    deadline = Timer(timeout, connection.abort)
    deadline.start()
    try:
        connection.request("GET", target, headers={"User-Agent": "clew", "Accept": "image/*"})
        yield connection.getresponse()
    except (OSError, HTTPException, ValueError) as error:
        if monotonic() - started >= limits.max_download_seconds:
            raise _timeout_error(url, limits) from error
        raise QueryError(f"Cannot download {url}: {str(error) or type(error).__name__}.") from error
    finally:
        deadline.cancel()
        connection.close()


def _decode_header(value: str) -> str:
    """Return a header with characters beyond ASCII, which servers send as UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _parse_url(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise QueryError(f"Invalid URL {url}. Use a URL that begins with http:// or https://.")
    return parts


def _resolve_host(url_parts: SplitResult, allow_private: bool) -> tuple[str, int]:
    """Return the address and port of a host; raises QueryError if it is in a private network."""
    port = url_parts.port or (443 if url_parts.scheme == "https" else 80)
    try:
        results = socket.getaddrinfo(url_parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise QueryError(f"Cannot resolve the host {url_parts.hostname}.") from error
    addresses = [str(address[0]) for *_, address in results]
    if not allow_private and not all(map(_is_public, addresses)):
        raise QueryError(f"{url_parts.hostname} is in a private network, which is not allowed.")
    return addresses[0], port


def _is_public(ip: str) -> bool:
    """Return True if an IP address is public, and the IPv4 address in it, if any, is public too."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    embedded = None
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if any(address in network for network in IPV4_EMBEDDING_NETWORKS):
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        is_unicast = address in GLOBAL_UNICAST and address not in IPV6_DOCUMENTATION
        if address.is_site_local or not (is_unicast or embedded):
            return False
    return all(ip_.is_global and not ip_.is_multicast for ip_ in (address, embedded) if ip_ is not None)


def _read_body(response: HTTPResponse, url: str, started: float, limits: DecodeLimits) -> BytesIO:
    """Return the body of a response, within the limits of size and time."""
    body = BytesIO()
    while chunk := response.read1(CHUNK_BYTES):
        body.write(chunk)
        if body.tell() > limits.max_download_bytes:
            raise QueryError(f"{url} has more than {limits.max_download_bytes:,} bytes.")
        if monotonic() - started > limits.max_download_seconds:
            raise _timeout_error(url, limits)
    if monotonic() - started > limits.max_download_seconds:  # the deadline has ended the headers or the body
        raise _timeout_error(url, limits)
    if response.length:  # bytes that are missing
        raise QueryError(f"The download of {url} is incomplete.")
    body.seek(0)
    return body


def _timeout_error(url: str, limits: DecodeLimits) -> QueryError:
    return QueryError(f"The download of {url} took more than {limits.max_download_seconds:.0f} s.")


class _PinnedHTTPConnection(HTTPConnection):
    """A connection to an address that was resolved before."""

    def __init__(self, host: str, port: int | None, address: tuple[str, int], timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self.address = address

    def connect(self) -> None:
        self.sock = socket.create_connection(self.address, self.timeout)

    def abort(self) -> None:
        _shut_down_socket(self.sock)


class _PinnedHTTPSConnection(HTTPSConnection):
    """A TLS connection to an address that was resolved before; the certificate must match the host."""

    def __init__(self, host: str, port: int | None, address: tuple[str, int], timeout: float) -> None:
        self.ssl_context = create_default_context()
        super().__init__(host, port, timeout=timeout, context=self.ssl_context)
        self.address = address

    def connect(self) -> None:
        tcp = socket.create_connection(self.address, self.timeout)
        self.sock = tcp  # `abort` can shut it down during the handshake
        self.sock = self.ssl_context.wrap_socket(tcp, server_hostname=self.host)

    def abort(self) -> None:
        _shut_down_socket(self.sock)


def _shut_down_socket(sock: socket.socket | None) -> None:
    """End a connection on which another thread waits."""
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
