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

LIMIT = 50_000_000  # bytes
SECONDS = 20.0  # in all
REDIRECTS = 5
PIECE = 65_536
CARRIERS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))  # of IPv4 in their end


def fetch(address: str, *, private: bool = False) -> BytesIO:
    """Return what is at an address; raises QueryError, which says why not.

    The name is looked up once and that very address is connected to, so that it cannot turn into another.
    `private` allows addresses of one's own network.
    """
    begun = monotonic()
    for _ in range(REDIRECTS):
        with _ask(address, private, SECONDS - (monotonic() - begun)) as answer:
            if answer.status in (301, 302, 303, 307, 308) and (place := answer.getheader("Location")):
                address = urljoin(address, place)
                continue
            if answer.status != 200:
                raise QueryError(f"{address} answers {answer.status} {answer.reason}.")
            return _read(answer, address, begun)
    raise QueryError(f"{address} leads on more than {REDIRECTS} times.")


@contextmanager
def _ask(address: str, private: bool, seconds: float) -> Iterator[HTTPResponse]:
    """Ask for an address, and close the connection after."""
    parts = _split(address)
    place = _look_up(parts, private)
    connection = _Secure if parts.scheme == "https" else _Plain
    opened = connection(str(parts.hostname), place[1], place, max(0.1, seconds))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # However slowly it comes: a socket's own timeout begins anew with every byte.
    deadline = Timer(max(0.1, seconds), opened.shut)
    deadline.start()
    try:
        opened.request("GET", target, headers={"User-Agent": "clew", "Accept": "image/*"})
        yield opened.getresponse()
    except (OSError, HTTPException, ValueError) as error:
        late = f"longer than {SECONDS:.0f} seconds" if not deadline.is_alive() else ""
        said = late or str(error) or type(error).__name__
        raise QueryError(f"{address} cannot be fetched: {said}.") from error
    finally:
        deadline.cancel()
        opened.close()


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise QueryError(f"{address} is no address that can be fetched; http:// or https:// begin one.")
    return parts


def _look_up(parts: SplitResult, private: bool) -> tuple[str, int]:
    """Return the address of a host; raises QueryError where it lies in a private network."""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise QueryError(f"There is no host {parts.hostname}, or no network.") from error
    places = [str(place[0]) for *_, place in found]
    if not private and not all(map(_is_public, places)):
        raise QueryError(f"{parts.hostname} lies in a private network, from which nothing is fetched.")
    return places[0], port


def _is_public(place: str) -> bool:
    """Say whether an IP address is one of the open network, also where it is written as another kind."""
    address = ipaddress.ip_address(place.partition("%")[0])
    inner = None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if any(address in network for network in CARRIERS):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.is_site_local:
            return False
    return all(one.is_global and not one.is_multicast for one in (address, inner) if one is not None)


def _read(answer: HTTPResponse, address: str, begun: float) -> BytesIO:
    """Read an answer within the limits of size and time."""
    page = BytesIO()
    while piece := answer.read1(PIECE):
        page.write(piece)
        if page.tell() > LIMIT:
            raise QueryError(f"{address} has more than {LIMIT:,} bytes.")
        if monotonic() - begun > SECONDS:
            raise QueryError(f"{address} takes longer than {SECONDS:.0f} seconds.")
    if answer.length:  # of what was promised
        raise QueryError(f"{address} broke off, or takes longer than {SECONDS:.0f} seconds.")
    page.seek(0)
    return page


class _Plain(HTTPConnection):
    """A connection to an address that was looked up before."""

    def __init__(self, host: str, port: int | None, place: tuple[str, int], seconds: float) -> None:
        super().__init__(host, port, timeout=seconds)
        self.place = place

    def connect(self) -> None:
        self.sock = socket.create_connection(self.place, self.timeout)

    def shut(self) -> None:
        _shut(self.sock)


class _Secure(HTTPSConnection):
    """The same, with the certificate held to the host's name."""

    def __init__(self, host: str, port: int | None, place: tuple[str, int], seconds: float) -> None:
        self.safe = create_default_context()
        super().__init__(host, port, timeout=seconds, context=self.safe)
        self.place = place

    def connect(self) -> None:
        plain = socket.create_connection(self.place, self.timeout)
        self.sock = plain  # which the deadline may shut while keys are exchanged
        self.sock = self.safe.wrap_socket(plain, server_hostname=self.host)

    def shut(self) -> None:
        _shut(self.sock)


def _shut(opened: socket.socket | None) -> None:
    """End a connection that another thread waits on."""
    if opened is not None:
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)
