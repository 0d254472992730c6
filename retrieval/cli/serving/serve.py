"""clew serve: search on a web page, and by programs through HTTP."""

import errno
import os
import signal
import socket
import webbrowser
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note
from retrieval.cli.options import libraries_option, milvus_token
from retrieval.cli.serving.running_calls import end_running_calls
from retrieval.server.options import DEFAULT_PORT, LOOPBACK_HOSTS
from retrieval.system import is_server_address, server_socket

if TYPE_CHECKING:
    from fastapi import FastAPI

    from retrieval.server.options import ServerOptions

DEFAULT_PORTS = {"http": 80, "https": 443}  # which browsers leave out of an origin
INTERRUPTED = 130  # exit code after Ctrl-C


@click.command("serve", cls=ClewCommand)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="PORT",
    help="Listen on this port; 0 is any free one.",
)
@click.option(
    "--host",
    default=LOOPBACK_HOSTS[0],
    show_default=True,
    metavar="ADDRESS",
    help="Listen on this address. Addresses other than loopback require --token.",
)
@click.option("--token", metavar="TEXT", help="Answer only requests that contain this token.")
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    callback=lambda _context, _option, values: tuple(map(parse_origin, values)),
    metavar="URL",
    help="Let the pages of this site call the API, such as https://example.org. Repeatable.",
)
@click.option("--no-open", is_flag=True, help="Do not open the page in a browser.")
@libraries_option
def serve_command(
    libraries: tuple[str, ...],
    port: int,
    host: str,
    token: str | None,
    origins: tuple[str, ...],
    no_open: bool,
) -> None:
    """Search on a web page, until Ctrl-C.

    The page and the HTTP API (see /docs on the page) only read the library. Without --host, only programs
    on this machine can connect. While it runs, `clew search` asks it instead of loading the model. Several
    libraries, also those of other servers, are searched as one; CLEW_TOKEN is sent to these.
    """
    from retrieval.server.options import ServerOptions

    options = ServerOptions(host=host, port=port, token=token, origins=origins)
    run_server(libraries, options, open_page=not no_open)


def parse_origin(text: str) -> str:
    """Return an origin as browsers send it; raises BadParameter."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    is_origin = host and parts.scheme in DEFAULT_PORTS and parts.username is None
    if not is_origin or parts.path not in ("", "/") or parts.query or parts.fragment or "*" in text:
        raise click.BadParameter(f"{text!r} is no origin. Use a scheme and a host, as https://example.org.")
    name = f"[{host}]" if ":" in str(host) else host
    suffix = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{name}{suffix}"


def run_server(libraries: tuple[str, ...], options: "ServerOptions", *, open_page: bool) -> None:
    """Serve the libraries until SIGINT or SIGTERM."""
    from retrieval.server.http_server import run_app

    host, token = options.host, options.token
    if not options.is_local and not token:
        raise click.UsageError(
            f"--host {host} lets other machines search and read the files of this library. Give a --token "
            "that they have to send."
        )
    listener = open_listener(host, options.port)
    folders = [place for place in libraries if not is_server_address(place)]
    with listener, ExitStack() as stack:
        user_sockets = [
            each for folder in folders for each in stack.enter_context(open_user_socket(Path(folder)))
        ]
        address = page_address(host, listener.getsockname()[1])
        app = open_app(libraries, options)
        if not options.is_local:
            note(
                f"Everyone who can connect to {host} and has the token can search this library and read its "
                "files. The connection is not encrypted."
            )
        note(f"Serving {address} Press Ctrl-C to stop.")
        if open_page:
            query = f"?token={quote(token, safe='')}" if token else ""
            timer = Timer(0.5, webbrowser.open, (address + query,))
            timer.daemon = True
            timer.start()
        code = INTERRUPTED if run_app(app, [listener, *user_sockets]) == signal.SIGINT else 0
        click.get_current_context().call_on_close(partial(end_running_calls, code))
        raise SystemExit(code)


def open_app(places: tuple[str, ...], options: "ServerOptions") -> "FastAPI":
    """Return the application for the library in a folder, or for several and those of servers."""
    if len(places) == 1 and not is_server_address(places[0]):
        from retrieval.library import Library
        from retrieval.server.app import create_app

        return create_app(Library.open(places[0], token=milvus_token()), options)
    from retrieval.federation.libraries import Libraries
    from retrieval.server.gateway.app import create_gateway

    server_token = os.environ.get("CLEW_TOKEN") or None
    return create_gateway(Libraries.open(places, server_token, milvus_token=milvus_token()), options)


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; raises UsageError if that is not possible."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise click.UsageError(
            f"Cannot listen on {host}: {error.strerror}. Use an address of this machine."
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it; without it, an answer can wait 40 ms for an acknowledgment.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise click.UsageError(
                f"Port {port} of {host} is in use, perhaps by another `clew serve`. "
                "Use --port 0 for a free one."
            ) from error
        raise click.UsageError(f"Cannot listen on {host}, port {port}: {error.strerror}.") from error
    return listener


@contextmanager
def open_user_socket(library: Path) -> Iterator[list[socket.socket]]:
    """Yield the socket on which the commands of this user are answered.

    The list is empty if another server of the library has it, or if the system has no such sockets.
    """
    listener, address = None, server_socket(library)
    if hasattr(socket, "AF_UNIX"):
        with suppress(OSError):
            listener = _bind_user_socket(address)
    if listener is None:
        yield []
        return
    try:
        yield [listener]
    finally:
        address.unlink(missing_ok=True)
        listener.close()


def _bind_user_socket(address: Path) -> socket.socket | None:
    """Return a socket that only this user can connect to, None if another server listens there."""
    address.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(socket.socket(socket.AF_UNIX)) as other, suppress(OSError):
        other.connect(os.fspath(address))
        return None
    address.unlink(missing_ok=True)  # of a server that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(address))
        address.chmod(0o600)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def page_address(host: str, port: int) -> str:
    """Return the address of the page."""
    shown = f"[{host}]" if ":" in host else LOOPBACK_HOSTS[0] if host == "0.0.0.0" else host
    return f"http://{shown}:{port}/"
