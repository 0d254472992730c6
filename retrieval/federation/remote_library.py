"""The library of a `clew serve`, searched through its HTTP API."""

import base64
import json
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from retrieval.errors import LibraryError, QueryError
from retrieval.query.ast import File, Query, Url
from retrieval.query.options import DEFAULT_OPTIONS, FILTER_NAMES, SearchOptions
from retrieval.types import Hit, Hits

if TYPE_CHECKING:
    from PIL.Image import Image

TIMEOUT_SECONDS = 30.0
MAX_COUNT = 1_000  # hits of an answer
MAX_ANSWER_BYTES = 100_000_000
SERVER_OPTIONS = frozenset((*FILTER_NAMES, "sort", "group"))  # that a server knows, or that need none
HIT_KEYS = frozenset(field.name for field in fields(Hit))


class RemoteLibrary:
    """The library of a server at an address; it is only read. Connections are made by each call."""

    damage = None  # a server reports it to its own users
    is_outdated = False

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address, self._token = address.rstrip("/"), token

    def search(
        self,
        words: Query,
        *,
        image: "str | Path | Image | None" = None,
        like: Iterable[str | Path] = (),
        unlike: Iterable[str | Path] = (),
        kind: str | Iterable[str] | None = None,
        count: int = 10,
        options: SearchOptions = DEFAULT_OPTIONS,
    ) -> Hits:
        """Return the best `count` hits of the server, as `Library.search` does.

        Raises QueryError for what a server cannot be asked, and LibraryError if it does not answer.
        """
        self._check(words, (*like, *unlike), options)
        filters = _inline_filters(options)
        query = words.map(lambda part: replace(part, filters=part.filters + filters))
        call: dict[str, object] = {
            "q": str(query),
            "count": min(count, MAX_COUNT),
            "group": options.group,
            "kind": [kind] if isinstance(kind, str) else list(kind or ()),
        }
        if image is not None:
            call["image"] = _as_base64(image)
        answer = self._call("/api/search", call)
        try:
            return Hits(map(_as_hit, answer["items"]), answer.get("note"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LibraryError(f"{self.address} does not answer as `clew serve` does.") from error

    def unknown_filter_values(self, words: Query, options: SearchOptions, found: bool) -> list[str]:
        """Return no message: a server does not say which values of filters it does not know."""
        return []

    def text(self, hit: Hit) -> str | None:
        """Return the text of a hit."""
        return hit.text

    def thumbnail(self, hit: Hit) -> bytes | None:
        """Return the thumbnail of a hit as WebP, None if there is none."""
        try:
            return self._read(Request(f"{self.address}/api/segments/{hit.id}/thumbnail"))
        except LibraryError:
            return None

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _check(self, query: Query, examples: tuple[object, ...], options: SearchOptions) -> None:
        terms = [term.operand for part in query.alternatives for term in part.terms]
        operands = [*terms, *(operand for part in query.alternatives for operand in part.exclusions)]
        if examples or any(isinstance(operand, File | Url) for operand in operands):
            raise QueryError("A server can be sent one image. Use `--image FILE` for it.")
        for field in fields(SearchOptions):
            if field.name not in SERVER_OPTIONS and getattr(options, field.name) != field.default:
                raise QueryError(f"A server cannot be asked for {field.name}. Leave it out.")

    def _call(self, path: str, call: dict[str, object]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        body = self._read(Request(self.address + path, json.dumps(call).encode(), headers, method="POST"))
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise LibraryError(f"{self.address} does not answer as `clew serve` does.") from error
        if not isinstance(answer, dict):
            raise LibraryError(f"{self.address} does not answer as `clew serve` does.")
        return answer

    def _read(self, request: Request) -> bytes:
        """Return the answer to a request; raises QueryError and LibraryError."""
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                body: bytes = response.read(MAX_ANSWER_BYTES + 1)
        except HTTPError as error:
            raise self._refusal(error) from error
        except (URLError, OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise LibraryError(
                f"Cannot connect to {self.address}: {reason}. Is `clew serve` running there?"
            ) from error
        if len(body) > MAX_ANSWER_BYTES:
            raise LibraryError(f"The answer of {self.address} is too long. Ask for fewer hits.")
        return body

    def _refusal(self, error: HTTPError) -> LibraryError | QueryError:
        with error:
            if error.code == 401:
                return LibraryError(f"{self.address} needs its token. Set CLEW_TOKEN to it.")
            try:
                message = str(json.loads(error.read(MAX_ANSWER_BYTES))["error"])
            except (ValueError, KeyError, TypeError):
                message = f"the server answered {error.code}"
        if error.code in (400, 422):
            return QueryError(message)
        return LibraryError(f"{self.address}: {message}")


def _inline_filters(options: SearchOptions) -> tuple[tuple[str, str], ...]:
    """Return the filters of options as they are written in a query."""
    filters = []
    for name in FILTER_NAMES:
        value = getattr(options, name, None)
        values = value if isinstance(value, list | tuple) else [value]
        filters += [(name, _as_text(each)) for each in values if each not in (None, "")]
    return tuple(filters)


def _as_text(value: object) -> str:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def _as_base64(image: "str | Path | Image") -> str:
    """Return a file or a Pillow image in base64; raises QueryError."""
    if isinstance(image, str | Path):
        try:
            data = Path(image).expanduser().read_bytes()
        except OSError as error:
            raise QueryError(f"Cannot read {image}: {error.strerror}.") from error
    else:
        buffer = BytesIO()
        image.convert("RGB").save(buffer, "PNG")
        data = buffer.getvalue()
    return base64.b64encode(data).decode()


def _as_hit(item: dict[str, Any]) -> Hit:
    """Return a hit of an answer; its path is one of the server."""
    values = {key: value for key, value in item.items() if key in HIT_KEYS}
    return Hit(
        **values
        | {
            "path": Path(item["path"]),
            "source": None if item["source"] is None else Path(item["source"]),
            "box": None if item["box"] is None else tuple(item["box"]),
            "has_words": item["match"] == "words",
            "more": tuple(map(_as_hit, item["more"])),
        }
    )
