"""The library of a `clew serve`, searched through its HTTP API."""

import base64
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime
from http.client import HTTPException
from io import BytesIO
from math import isfinite
from pathlib import Path
from time import monotonic
from types import NoneType
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from retrieval.errors import LibraryError, QueryError
from retrieval.federation.pages import Pages
from retrieval.query.ast import File, Query, Url
from retrieval.query.filters import relative_folders
from retrieval.query.options import DEFAULT_OPTIONS, FILTER_NAMES, SearchOptions
from retrieval.search.results import sort_hits
from retrieval.system import expand_user
from retrieval.types import KINDS, Hit, Hits

if TYPE_CHECKING:
    from PIL.Image import Image

TIMEOUT_SECONDS = 30.0  # without a byte, and of a complete answer
MAX_ANSWER_BYTES, MAX_THUMBNAIL_BYTES, MAX_ERROR_BYTES = 100_000_000, 1_000_000, 10_000
MAX_THUMBNAIL_SIDE = 1_000  # pixels
CHUNK_BYTES = 65_536
SERVER_OPTIONS = frozenset((*FILTER_NAMES, "sort", "group"))  # that a server knows, or that need none

_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {  # of the keys of an item that are those of its hit
    **{"id": (int,), "score": _NUMBER, "kind": (str,), "path": (str,), "space": (str,)},
    **dict.fromkeys(("confidence", "start", "end"), (*_NUMBER, NoneType)),
    **dict.fromkeys(("text", "source", "time"), (str, NoneType)),
    **{
        "page": (int, NoneType),
        "box": (list, NoneType),
        "timed": (bool,),
        "offline": (bool,),
        "more": (list,),
    },
}


class RemoteLibrary:
    """The library of a server at an address; it is only read. Connections are made by each call."""

    damage = None  # a server reports it to its own users
    is_outdated = False

    def __init__(self, address: str, token: str | None = None) -> None:
        """Raise LibraryError for an address or a token that no request can have."""
        _check_address(address)
        if token is not None and not (token.isascii() and token.isprintable()):
            raise LibraryError("The token in CLEW_TOKEN has characters that a request cannot contain.")
        self.address, self.token = address.rstrip("/"), token
        self._opener = build_opener(_NoRedirects)

    def search(
        self,
        words: Query,
        *,
        image: "str | Path | Image | None" = None,
        like: Iterable[object] = (),
        unlike: Iterable[object] = (),
        kind: str | Iterable[str] | None = None,
        count: int = 10,
        options: SearchOptions = DEFAULT_OPTIONS,
    ) -> Hits:
        """Return the best `count` hits of the server, as `Library.search` does.

        Raises QueryError for an option or an operand that a server does not take, and LibraryError if it does
        not answer.
        """
        self._check(words, (*like, *unlike), options, has_image=image is not None)
        filters = _inline_filters(options)
        query = words.map(lambda part: replace(part, filters=part.filters + filters))
        call: dict[str, object] = {
            "q": str(query),
            "group": options.group,
            "kind": [kind] if isinstance(kind, str) else list(kind or ()),
        }
        if image is not None:
            call["image"] = _as_base64(image)
        pages, hits, notes = Pages(call, count), list[Hit](), list[str | None]()
        while not pages.is_complete:
            body = self._post("/api/search", pages.next_call())
            try:
                answer = json.loads(body)
                hits += map(hit_of, pages.add(answer))
                notes.append(answer["note"])
                if not isinstance(notes[-1], str | None):
                    raise TypeError("a note is text")
            except (LookupError, TypeError, ValueError, OverflowError, RecursionError) as error:
                raise LibraryError(f"{self.address} does not answer as `clew serve` does.") from error
        return Hits(sort_hits(hits[:count], options.sort), notes[0])

    def unknown_filter_values(self, words: Query, options: SearchOptions, found: bool) -> list[str]:
        """Return no message: a server does not say which values of filters it does not know."""
        return []

    def text(self, hit: Hit) -> str | None:
        """Return the text of a hit."""
        return hit.text

    def thumbnail(self, hit: Hit) -> bytes | None:
        """Return the thumbnail of a hit as WebP, None if there is none."""
        from PIL import Image

        address = f"{self.address}/api/segments/{hit.id}/thumbnail"
        try:
            data = self._read(Request(address), MAX_THUMBNAIL_BYTES)
            with Image.open(BytesIO(data), formats=["WEBP"]) as image:  # it reads the header only
                return data if max(image.size) <= MAX_THUMBNAIL_SIDE else None
        except (LibraryError, QueryError, OSError, ValueError, Image.DecompressionBombError):
            return None

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _check(
        self, query: Query, examples: tuple[object, ...], options: SearchOptions, *, has_image: bool
    ) -> None:
        if examples or any(isinstance(operand, File | Url) for operand in query.operands):
            raise QueryError("A server can be sent one image. Use `--image FILE` for it.")
        for field in fields(SearchOptions):
            if field.name not in SERVER_OPTIONS and getattr(options, field.name) != field.default:
                raise QueryError(f"A server cannot be asked for {field.name}. Leave it out.")
        is_listing = not has_image and not any(part.terms for part in query.alternatives)
        if is_listing and options.sort in ("date", "name"):
            raise QueryError(f"A server lists its newest files, not those by {options.sort}. Leave out sort.")
        for folder in relative_folders(query, options):
            raise QueryError(
                f"A server does not know the folder {folder!r}. Use a name or its absolute path."
            )

    def _post(self, path: str, call: dict[str, object]) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = Request(self.address + path, json.dumps(call).encode(), headers, method="POST")
        return self._read(request, MAX_ANSWER_BYTES)

    def _read(self, request: Request, max_bytes: int) -> bytes:
        """Return the answer to a request; raises QueryError and LibraryError."""
        if self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        body, started = bytearray(), monotonic()
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                while len(body) <= max_bytes and (chunk := response.read1(CHUNK_BYTES)):
                    body += chunk
                    if monotonic() - started > TIMEOUT_SECONDS:  # that of a socket restarts with every byte
                        raise LibraryError(
                            f"{self.address} took more than {TIMEOUT_SECONDS:.0f} s to answer."
                        )
        except HTTPError as error:
            raise self._refusal(error) from error
        except (URLError, OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise unreachable(self.address, reason) from error
        if len(body) > max_bytes:
            raise LibraryError(f"The answer of {self.address} is too long. Ask for fewer hits.")
        return bytes(body)

    def _refusal(self, error: HTTPError) -> LibraryError | QueryError:
        body = b""
        with error, suppress(OSError, HTTPException):
            body = error.read(MAX_ERROR_BYTES)
        return refusal(self.address, error.code, body)


def refusal(name: str, status: int, body: bytes) -> LibraryError | QueryError:
    """Return the error of an answer of a server with another status than 200, in its own words."""
    if status == 401:
        return LibraryError(f"{name} needs its token. Set CLEW_TOKEN to it.")
    if 300 <= status < 400:
        return LibraryError(f"{name} refers to another address. Use that one.")
    try:
        message = str(json.loads(body)["error"])
    except (LookupError, TypeError, ValueError, RecursionError):
        message = f"the server answered {status}"
    return QueryError(message) if status in (400, 422) else LibraryError(f"{name}: {message}")


def unreachable(name: str, reason: object) -> LibraryError:
    """Return the error of a server to which no connection could be made."""
    return LibraryError(f"Cannot connect to {name}: {reason}. Is `clew serve` running there?")


class _NoRedirects(HTTPRedirectHandler):
    """Refuses redirects, which would send the token and the query to a server that the user did not name."""

    def redirect_request(self, *_: object) -> None:
        """Return no request, so that the redirect is an error."""


def _check_address(address: str) -> None:
    """Raise LibraryError unless an address has a host, and no user name, query or fragment."""
    try:
        parts = urlsplit(address)
        is_valid = bool(parts.hostname) and parts.port != 0 and not ("@" in parts.netloc or parts.query)
        is_valid = is_valid and not parts.fragment and address.isprintable() and " " not in address
    except ValueError:
        is_valid = False
    if not is_valid:  # it may contain the token, so it is not shown
        raise LibraryError(
            "Invalid address of a server. Use http://HOST:PORT, and set CLEW_TOKEN to its token."
        )


def _inline_filters(options: SearchOptions) -> tuple[tuple[str, str], ...]:
    """Return the filters of options as they are written in a query."""
    filters = []
    for name in FILTER_NAMES:
        value = getattr(options, name, None)
        values = value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else [value]
        filters += [(name, _as_text(each)) for each in values if each not in (None, "")]
    return tuple(filters)


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return os.fsdecode(value)
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def _as_base64(image: "str | Path | Image") -> str:
    """Return a file or a Pillow image in base64; raises QueryError."""
    if isinstance(image, str | Path):
        try:
            data = expand_user(image).read_bytes()
        except OSError as error:
            raise QueryError(f"Cannot read {image}: {error.strerror}.") from error
    else:
        buffer = BytesIO()
        image.convert("RGB").save(buffer, "PNG")
        data = buffer.getvalue()
    return base64.b64encode(data).decode()


def hit_of(item: dict[str, Any]) -> Hit:
    """Return the hit of an item of the API, with its path on the server.

    Raises LookupError, TypeError or ValueError for an invalid one.
    """
    values = {key: item[key] for key in _TYPES}
    for key, value in values.items():
        if not isinstance(value, _TYPES[key]) or (isinstance(value, _NUMBER) and not isfinite(value)):
            raise ValueError(f"invalid {key}")
        if isinstance(value, str):
            os.fsencode(value)  # text with other surrogates than those of file names cannot be written
    if values["kind"] not in KINDS or values["id"] < 1 or not 0 <= (values["confidence"] or 0) <= 1:
        raise ValueError("invalid kind, id or confidence")
    left, top, width, height = values["box"] or (0,) * 4
    return Hit(
        **values
        | {
            "path": Path(values["path"]),
            "source": None if values["source"] is None else Path(values["source"]),
            "box": None if values["box"] is None else (int(left), int(top), int(width), int(height)),
            "has_words": item["match"] == "words",
            "more": tuple(map(hit_of, values["more"])),
        }
    )
