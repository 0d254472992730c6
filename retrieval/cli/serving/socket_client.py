"""Ask the `clew serve` of a library, whose model is loaded, instead of loading it for one search."""

import json
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from retrieval.errors import QueryError
from retrieval.query.ast import File, Query, Url
from retrieval.query.filters import relative_folders
from retrieval.query.names import named_in
from retrieval.query.options import SearchOptions
from retrieval.query.parser import parse
from retrieval.system import server_socket
from retrieval.types import Hit, Hits, Label, TermScore

TIMEOUT_SECONDS = 10.0  # then the command searches itself


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """The answer to a search, with what `show_hits` reads of a library."""

    query: Query  # with its saved searches written out
    hits: Hits
    unknown: Sequence[str]
    texts: dict[int, str | None]
    damage: str | None
    is_outdated: bool

    def text(self, hit: Hit) -> str | None:
        """Return the text of a hit, for a page the text on it."""
        return self.texts.get(hit.id)

    def thumbnail(self, hit: Hit | int) -> bytes | None:
        """Return None: pictures are not sent."""
        return None


def ask_server(
    library: Path, query: Query, kind: Sequence[str], count: int, options: SearchOptions
) -> ServerAnswer | None:
    """Return the answer of the server of a library, None if none answers. Raises QueryError."""
    if not hasattr(socket, "AF_UNIX") or _depends_on_folder(query, options):
        return None
    address = server_socket(library)
    if not _is_own_socket(address):
        return None
    call = {"query": str(query), "kind": list(kind), "count": count, "options": asdict(options)}
    try:
        with closing(_SocketConnection(address)) as connection:
            connection.request("POST", "/terminal/search", json.dumps(call))
            response = connection.getresponse()
            answer = json.loads(response.read())
    except (OSError, HTTPException, ValueError, TypeError):
        return None
    if response.status == 400 and not named_in(query):
        raise QueryError(answer["error"])
    found = _read_answer(answer) if response.status == 200 else None
    # A search that was saved by an older version may name files relative to the current folder.
    return None if found is None or _depends_on_folder(found.query, options) else found


class _SocketConnection(HTTPConnection):
    """An HTTP connection through a Unix socket."""

    def __init__(self, address: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._address = address

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(os.fspath(self._address))


def _is_own_socket(address: Path) -> bool:
    """Return True for a socket of this user in a folder that others cannot write."""
    try:
        folder, file = address.parent.stat(), address.lstat()
    except OSError:
        return False
    is_private = not folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISSOCK(file.st_mode) and {folder.st_uid, file.st_uid} == {os.getuid()} and is_private


def _depends_on_folder(query: Query, options: SearchOptions) -> bool:
    """Return True if a search names files, or folders relative to the current one."""
    has_files = any(isinstance(operand, File | Url) for operand in query.operands)
    return has_files or bool(relative_folders(query, options))


def _read_answer(answer: dict[str, Any]) -> ServerAnswer:
    return ServerAnswer(
        parse(answer["query"]),
        Hits(map(_read_hit, answer["hits"]), answer["note"]),
        answer["unknown"],
        {int(id_): text for id_, text in answer["texts"].items()},
        answer["damage"],
        answer["is_outdated"],
    )


def _read_hit(values: dict[str, Any]) -> Hit:
    return Hit(
        **values
        | {
            "path": Path(values["path"]),
            "source": None if values["source"] is None else Path(values["source"]),
            "box": None if values["box"] is None else tuple(values["box"]),
            "why": tuple(TermScore(**each) for each in values["why"]),
            "labels": tuple(Label(**each) for each in values["labels"]),
            "more": tuple(map(_read_hit, values["more"])),
        }
    )
