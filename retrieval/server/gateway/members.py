"""The libraries of a gateway, each with an HTTP API: of an application here, or of another server."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from retrieval.errors import ClewError, LibraryError, QueryError
from retrieval.federation.remote_library import MAX_ANSWER_BYTES, MAX_ERROR_BYTES, TIMEOUT_SECONDS
from retrieval.server.errors import Busy, NotFound
from retrieval.server.media_files import DOWNLOAD_TYPE, MEDIA_POLICY

REQUEST_HEADERS = ("range", "if-none-match")  # that are passed on for media
ANSWER_HEADERS = (
    "accept-ranges", "cache-control", "content-disposition", "content-length", "content-range", "etag",
)  # fmt: skip
SHOWN_TYPES = ("image/", "video/", "audio/", "application/pdf", "text/plain")  # others are downloads
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
class Member:
    """A library with its number, its name and a client of its API; `app` is its application if it is here."""

    number: int
    name: str
    client: httpx.AsyncClient
    app: FastAPI | None = None

    @classmethod
    def of_app(cls, number: int, name: str, app: FastAPI, token: str | None) -> "Member":
        """Return a library whose application is in this process."""
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=_headers(token))
        return cls(number, name, client, app)

    @classmethod
    def of_server(cls, number: int, name: str, address: str, token: str | None) -> "Member":
        """Return the library of another server; redirects, which could send the token away, are refused."""
        client = httpx.AsyncClient(base_url=address, headers=_headers(token), timeout=TIMEOUT_SECONDS)
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
        request = self.client.build_request(method, path.lstrip("/"), params=given, json=body)
        try:
            async with aclosing(await self.client.send(request, stream=True)) as response:
                limit = MAX_ANSWER_BYTES if response.status_code == 200 else MAX_ERROR_BYTES
                data = await _read(response, limit)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise self._lost(error) from error
        if response.status_code != 200:
            raise self._refusal(response.status_code, data)
        return data

    async def ask_json(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: object = None
    ) -> Any:
        """Return the JSON of an answer; raises as `ask` does."""
        data = await self.ask(method, path, params=params, body=body)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self.wrong_answer() from error

    async def forward(self, request: Request, path: str) -> Response:
        """Return the response of the library to a GET request, whose body is not kept in memory."""
        if self.app is not None:
            return _Forwarded(self.app, path)
        headers = {name: request.headers[name] for name in REQUEST_HEADERS if name in request.headers}
        headers["accept-encoding"] = "identity"
        sent = self.client.build_request(
            "GET", path.lstrip("/"), params=str(request.query_params), headers=headers
        )
        try:
            answer = await self.client.send(sent, stream=True)
            if answer.status_code not in (200, 206, 304, 416):
                async with aclosing(answer):
                    raise self._refusal(answer.status_code, await _read(answer, MAX_ERROR_BYTES))
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        kept = {name: answer.headers[name] for name in ANSWER_HEADERS if name in answer.headers}
        kept["content-security-policy"] = MEDIA_POLICY
        kind = answer.headers.get("content-type", DOWNLOAD_TYPE)
        if not kind.startswith(SHOWN_TYPES) or kind.startswith("image/svg"):
            kind, kept["content-disposition"] = DOWNLOAD_TYPE, "attachment"
        close = BackgroundTask(answer.aclose)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, kind, close)

    def wrong_answer(self) -> LibraryError:
        """Return the error of an answer that no `clew serve` gives."""
        return LibraryError(f"{self.name} does not answer as `clew serve` does.")

    def _lost(self, error: Exception) -> LibraryError:
        reason = str(error) or type(error).__name__
        return LibraryError(f"Cannot connect to {self.name}: {reason}. Is `clew serve` running there?")

    def _refusal(self, status: int, data: bytes) -> ClewError:
        try:
            message = str(json.loads(data)["error"])
        except (ValueError, LookupError, TypeError, RecursionError):
            message = f"the server answered {status}"
        if status == 401:
            return LibraryError(f"{self.name} needs its token. Set CLEW_TOKEN to it.")
        if status == 503 and "busy" in message:
            return Busy()
        if status == 404:
            return NotFound(message)
        return QueryError(message) if status in (400, 422) else LibraryError(f"{self.name}: {message}")


async def ask_all(
    members: Sequence[Member], ask: Callable[[Member], Awaitable[Result]]
) -> tuple[dict[Member, Result], list[str]]:
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
    if not answers:
        raise next(iter(errors.values()))
    return answers, [f"{member.name} is not searched: {error}" for member, error in errors.items()]


async def _attempt(ask: Callable[[Member], Awaitable[Result]], member: Member) -> Result | ClewError:
    try:
        return await ask(member)
    except ClewError as error:
        return error


class _Forwarded(Response):
    """The response of another application of this process to the same request at another path."""

    def __init__(self, app: FastAPI, path: str) -> None:
        super().__init__()
        self._app, self._path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        kept = {key: scope[key] for key in SCOPE_KEYS if key in scope}
        await self._app(kept | {"path": self._path, "raw_path": self._path.encode()}, receive, send)


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def _read(response: httpx.Response, limit: int) -> bytes:
    """Return the body of a response; raises ValueError if it has more bytes than the limit."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit:
            raise ValueError("the answer is too long")
    return bytes(body)
