"""A library of a gateway with its HTTP API: of an application here, or of another server."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from retrieval.errors import ClewError, LibraryError
from retrieval.federation.remote_library import (
    MAX_ANSWER_BYTES,
    MAX_ERROR_BYTES,
    TIMEOUT_SECONDS,
    refusal,
    unreachable,
)
from retrieval.server.errors import Busy, NotFound
from retrieval.server.media_files import CONTENT_TYPES, DOWNLOAD_TYPE, MEDIA_POLICY, TEXT_TYPE

CONNECT_SECONDS = 5.0  # each search waits so long for a machine that is off
REQUEST_HEADERS = ("range", "if-range", "if-none-match")  # that are passed on for media
ANSWER_HEADERS = (
    "accept-ranges", "cache-control", "content-disposition", "content-length", "content-range", "etag",
)  # fmt: skip
SHOWN_TYPES = frozenset((*CONTENT_TYPES.values(), TEXT_TYPE))  # others are downloads
SCOPE_KEYS = (
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "query_string",
    "headers",
    "client",
    "server",
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ServedLibrary:
    """A library with its number, its name and a client of its API; `app` is its application if it is here."""

    number: int
    name: str
    client: httpx.AsyncClient
    app: FastAPI | None = None

    @classmethod
    def of_app(cls, number: int, name: str, app: FastAPI) -> "ServedLibrary":
        """Return a library whose application is in this process and needs no token."""
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return cls(number, name, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1"), app)

    @classmethod
    def of_server(cls, number: int, name: str, address: str, token: str | None) -> "ServedLibrary":
        """Return the library of another server.

        Redirects, which could send the token away, are refused, and so is compression: a small answer could
        fill the memory.
        """
        headers = {"Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS)
        client = httpx.AsyncClient(base_url=address, headers=headers, timeout=timeout)
        return cls(number, name, client)

    async def ask(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None
    ) -> bytes:
        """Return the body of an answer.

        Raises QueryError, NotFound or Busy as the library does, and LibraryError if it does not answer.
        """
        given = (
            None if params is None else {name: value for name, value in params.items() if value is not None}
        )
        try:
            request = self._request(method, path, params=given, body=body)
            async with asyncio.timeout(TIMEOUT_SECONDS if self.app is None else None):  # of the whole answer
                async with aclosing(await self.client.send(request, stream=True)) as response:
                    if response.status_code != 200:
                        raise self._refusal(response.status_code, await _read(response, MAX_ERROR_BYTES))
                    data = await _read(response, MAX_ANSWER_BYTES)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise self._lost(error) from error
        if len(data) > MAX_ANSWER_BYTES:
            raise LibraryError(f"The answer of {self.name} is too long. Ask for less.")
        return data

    async def ask_json(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None
    ) -> Any:
        """Return the JSON of an answer; raises as `ask` does."""
        data = await self.ask(method, path, params=params, body=body)
        with self.reading():
            return json.loads(data, parse_float=_finite, parse_constant=_finite)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raise LibraryError if the block cannot read an answer, which no `clew serve` gives."""
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise LibraryError(f"{self.name} does not answer as `clew serve` does.") from error

    async def forward(self, request: Request, path: str, body: object = None) -> Response:
        """Return the response of the library to the request, with this body if any; it is streamed."""
        if self.app is not None:
            return _Forwarded(self.app, path, body)
        headers = [
            (name.encode(), request.headers[name].encode("latin-1"))
            for name in REQUEST_HEADERS
            if name in request.headers
        ]
        params = str(request.query_params)
        try:
            sent = self._request(request.method, path, params=params, body=body, headers=headers)
            answer = await self.client.send(sent, stream=True)
            if answer.status_code not in (200, 206, 304, 416):
                async with aclosing(answer):
                    raise self._refusal(answer.status_code, await _read(answer, MAX_ERROR_BYTES))
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        answer.headers.encoding = "latin-1"  # that of the header of the response
        kept = {name: answer.headers[name] for name in ANSWER_HEADERS if name in answer.headers}
        kept["content-security-policy"] = MEDIA_POLICY
        kind: str | None = answer.headers.get("content-type", DOWNLOAD_TYPE)
        if answer.status_code == 304:  # the client keeps those of its copy
            kept.pop("content-disposition", None)
            kind = None
        elif kind not in SHOWN_TYPES:
            kind = DOWNLOAD_TYPE
            if not kept.get("content-disposition", "").startswith("attachment;"):
                kept["content-disposition"] = "attachment"
        close = BackgroundTask(answer.aclose)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, kind, close)

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | str | None,
        body: object,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> httpx.Request:
        content = None if body is None else json.dumps(body).encode()
        kind = [] if body is None else [(b"content-type", b"application/json")]
        return self.client.build_request(
            method, path.lstrip("/"), params=params, content=content, headers=[*headers, *kind]
        )

    def _lost(self, error: Exception) -> LibraryError:
        if isinstance(error, TimeoutError | httpx.TimeoutException) and not isinstance(
            error, httpx.ConnectTimeout
        ):
            return LibraryError(f"{self.name} took more than {TIMEOUT_SECONDS:.0f} s to answer.")
        return unreachable(self.name, str(error) or type(error).__name__)

    def _refusal(self, status: int, data: bytes) -> ClewError:
        error = refusal(self.name, status, data)
        if status == 503 and "busy" in str(error):
            return Busy()
        return NotFound(str(error).removeprefix(f"{self.name}: ")) if status == 404 else error


async def ask_all(
    members: Sequence[ServedLibrary], ask: Callable[[ServedLibrary], Awaitable[Result]]
) -> tuple[dict[ServedLibrary, Result], list[str]]:
    """Ask all libraries at the same time; return the answers, and notes on libraries that have none.

    Raises ClewError if none can answer.
    """
    results = await asyncio.gather(*(_attempt(ask, member) for member in members))
    answers = {
        member: result
        for member, result in zip(members, results, strict=True)
        if not isinstance(result, ClewError)
    }
    errors = {
        member: result
        for member, result in zip(members, results, strict=True)
        if isinstance(result, ClewError)
    }
    if errors and not answers:
        raise next(iter(errors.values()))
    return answers, [f"{member.name} is not searched: {error}" for member, error in errors.items()]


async def _attempt(
    ask: Callable[[ServedLibrary], Awaitable[Result]], member: ServedLibrary
) -> Result | ClewError:
    try:
        return await ask(member)
    except ClewError as error:
        return error


class _Forwarded(Response):
    """The response of another application of this process to the same request at another path."""

    def __init__(self, app: FastAPI, path: str, body: object) -> None:
        super().__init__()
        self._app, self._path, self._new_body = app, path, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        kept = {key: scope[key] for key in SCOPE_KEYS if key in scope}
        messages = list[Message]()
        if self._new_body is not None:  # the first one has been read
            messages.append({"type": "http.request", "body": json.dumps(self._new_body).encode()})

        async def next_message() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(kept | {"path": self._path, "raw_path": self._path.encode()}, next_message, send)


async def _read(response: httpx.Response, limit: int) -> bytes:
    """Return the body of a response as it was sent, or of a longer one more bytes than the limit."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _finite(text: str) -> float:
    """Return a number of JSON; raises ValueError for those that JSON does not have."""
    if not isfinite(value := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return value
