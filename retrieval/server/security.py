"""Check each request before a route reads it.

The order is: Host, against names that another site has pointed to this address (DNS rebinding); Origin,
against requests that another site makes; the token, if there is one; then the size and time of the body.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import socket
from collections import deque
from time import monotonic
from typing import TypeAlias
from urllib.parse import parse_qs, quote, unquote_to_bytes, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.server.errors import error_response
from retrieval.server.options import LOOPBACK_HOSTS, ServerOptions

COOKIE = "clew_token"  # with the port: browsers send a cookie to all ports of a host
RATE_SECONDS = 60.0  # in which failed tokens are counted
MAX_RATED_ADDRESSES = 1_000
PUBLIC_PATH = "/healthz"  # tells nothing of the library, so it needs no token
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
Failure: TypeAlias = tuple[float, bytes]  # time; digest of a wrong cookie, which counts once
log = logging.getLogger("clew.server")
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, If-None-Match, If-Range, Range, "
        "Last-Event-ID, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id"  # of clients of MCP
    ),
    "Access-Control-Max-Age": "600",  # seconds
}


class BodyTooLarge(Exception):
    """A body with more bytes than the limit."""


class BodyTooSlow(Exception):
    """A body that was not complete in time."""


class SecurityMiddleware:
    """The outermost part of the application: it checks requests, adds headers, and hides tracebacks."""

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self.app, self.options = app, options
        self._host_names = {*LOOPBACK_HOSTS, options.host.lower()}
        if not options.is_local:
            name = socket.gethostname().lower()
            self._host_names |= {name, f"{name}.local"}
        self._token = (options.token or "").encode()
        self._failures = dict[str, deque[Failure]]()  # address -> its last ones

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; WebSockets are refused."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._add_headers(scope, MutableHeaders(raw=message.setdefault("headers", [])))
            await send(message)

        refusal = self._check(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        try:
            await self.app(scope, self._limited(receive), send_with_headers)
        except Exception as error:
            if started:
                raise
            await _failure(error)(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> Response | None:
        """Return why a request is refused, None if it is not."""
        headers = Headers(scope=scope)
        if not self._is_known_host(headers):
            return error_response(403, "This name does not belong to the server. Use its address.")
        if not self._is_own_origin(scope, headers):
            return error_response(403, "Another site made this request. Open the page of the server itself.")
        if _is_preflight(scope, headers):  # browsers send no token with it
            return Response(status_code=204, headers=PREFLIGHT_HEADERS)
        if self._token and scope["path"] != PUBLIC_PATH and not is_from_user_socket(scope):
            refusal = self._check_token(scope, headers)
            if refusal is not None:
                return refusal
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > self.options.max_body_bytes:
            return error_response(413, f"The body is larger than {self.options.max_body_bytes:,} bytes.")
        return None

    def _is_known_host(self, headers: Headers) -> bool:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return False
        try:
            name = urlsplit(f"//{hosts[0]}").hostname or ""
            urlsplit(f"//{hosts[0]}").port  # noqa: B018 -- raises for an invalid one
        except ValueError:
            return False
        if set(hosts[0]) & set("/\\@?# ,"):
            return False
        return name in self._host_names or (not self.options.is_local and _is_address(name))

    def _is_own_origin(self, scope: Scope, headers: Headers) -> bool:
        """Return False for a request that a page of another origin makes, except for following a link."""
        origins = headers.getlist("origin")
        if origins:
            own = {f"{scheme}://{headers['host']}" for scheme in ("http", "https")}
            return len(origins) == 1 and origins[0] in own | set(self.options.origins)
        site = headers.get("sec-fetch-site", "none")
        is_link = (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
            and scope["method"] == "GET"
        )
        return site in ("none", "same-origin") or is_link

    def _check_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Return a refusal, a redirection that sets the cookie, or None for the right token."""
        address = (scope.get("client") or ("", 0))[0]
        failures = self._failures.get(address, deque())
        while failures and failures[0][0] < monotonic() - RATE_SECONDS:
            failures.popleft()
        if len(failures) >= self.options.max_failed_tokens:
            wait = {"Retry-After": str(int(RATE_SECONDS))}
            return error_response(429, "Too many wrong tokens. Try again in a minute.", headers=wait)
        given, is_cookie = _given_token(headers, scope["scheme"])
        query = parse_qs(scope["query_string"].decode("latin-1"), errors="replace").get("token", [""])[0]
        in_address = scope["path"] == "/" and scope["method"] == "GET" and bool(query)
        if hmac.compare_digest(query.encode() if in_address else given, self._token):
            if not failures:
                self._failures.pop(address, None)
            return _login(query, headers, scope["scheme"]) if in_address else None
        if given or query:
            self._count_failure(address, given if is_cookie and not query else b"")
        message = "This server needs its token: open /?token=TOKEN, or send it as `Authorization: Bearer`."
        return error_response(401, message, headers={"WWW-Authenticate": "Bearer"})

    def _count_failure(self, address: str, cookie: bytes) -> None:
        """Count a wrong token; that of a cookie once, as an open page sends it with each request."""
        failures = self._failures.setdefault(address, deque())
        digest = hashlib.sha256(cookie).digest() if cookie else b""
        if not digest or all(digest != other for _, other in failures):
            failures.append((monotonic(), digest))
        if len(self._failures) > MAX_RATED_ADDRESSES:
            self._failures.pop(next(iter(self._failures)))

    def _limited(self, receive: Receive) -> Receive:
        """Return a function that receives messages and raises an error past the limits of the body."""
        size, deadline, complete = 0, monotonic() + self.options.max_body_seconds, False

        async def limited() -> Message:
            nonlocal size, complete
            if complete:  # what follows is the end of the connection
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - monotonic()))
            except TimeoutError as error:
                raise BodyTooSlow from error
            size += len(message.get("body", b""))
            if size > self.options.max_body_bytes:
                raise BodyTooLarge
            complete = not message.get("more_body", False)
            return message

        return limited

    def _add_headers(self, scope: Scope, headers: MutableHeaders) -> None:
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if "cache-control" not in headers:
            headers["Cache-Control"] = "no-store"
        origin = Headers(scope=scope).get("origin")
        if origin in self.options.origins:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = "Content-Disposition, Content-Range, ETag, Retry-After"
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            headers.add_vary_header("Origin")


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    """Return True for the question of a browser whether a page of an allowed origin may send a request."""
    return scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def is_from_user_socket(scope: Scope) -> bool:
    """Return True for a request through the Unix socket, which only the user of the server can open."""
    server = scope.get("server")
    return server is not None and server[1] is None


def _failure(error: Exception) -> Response:
    """Return the response to an error that no route has answered, without its traceback."""
    if isinstance(error, BodyTooLarge):
        return error_response(413, "The body is too large.")
    if isinstance(error, BodyTooSlow):
        return error_response(408, "The body did not arrive in time. Send it again.")
    log.error("A request failed.", exc_info=error)
    return error_response(500, "The server failed to answer. Its terminal shows why.")


def _given_token(headers: Headers, scheme: str) -> tuple[bytes, bool]:
    """Return the token of a request, of its header, else of its cookie; and True if it is of the cookie."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip().encode("latin-1"), False
    cookies = cookie_parser(headers.get("cookie", ""))
    return unquote_to_bytes(cookies.get(_cookie_name(headers, scheme), "")), True


def _cookie_name(headers: Headers, scheme: str) -> str:
    """Return the name of the cookie of this server, by the port at which the browser reaches it."""
    port = urlsplit(f"//{headers['host']}").port or (443 if scheme == "https" else 80)
    return f"{COOKIE}_{port}"


def _login(token: str, headers: Headers, scheme: str) -> Response:
    """Return a redirection to the page that stores the token as a cookie, out of reach for scripts."""
    response, name = RedirectResponse("/", 303), _cookie_name(headers, scheme)
    response.set_cookie(
        name, quote(token, safe=""), httponly=True, samesite="strict", secure=scheme == "https"
    )
    return response


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
