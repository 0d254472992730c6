"""The calls that fetch the best hits of a server, page by page."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from retrieval.query.ast import Term, Words
from retrieval.query.parser import parse

MAX_COUNT = 1_000  # hits of a page


@dataclass(slots=True)
class Pages:
    """The pages of a search that are known, and the call of its API for the next one."""

    call: dict[str, Any]  # the arguments of the search, without count and cursor
    wanted: int  # hits
    is_complete: bool = False  # no call is needed any more
    _count: int = 0  # of hits
    _cursor: str | None = None
    _known: set[tuple[int, str]] = field(default_factory=set)  # id and path of the hits

    def next_call(self) -> dict[str, Any]:
        """Return the arguments of the call for the next page."""
        return self.call | {"count": min(self.wanted - self._count, MAX_COUNT), "cursor": self._cursor}

    def add(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add the answer to the call, and return its items.

        Raises LookupError, TypeError or ValueError for one that no server gives.
        """
        items: list[dict[str, Any]] = answer["items"]
        self._cursor = answer["cursor"]
        if not isinstance(self._cursor, str | None):
            raise TypeError("a cursor is text")
        keys, before = {(item["id"], item["path"]) for item in items}, len(self._known)
        self._known |= keys
        self._count += len(items)
        has_new = len(self._known) > before  # else it would be asked without end
        self.is_complete = self._count >= self.wanted or self._cursor is None or not has_new
        if not self.is_complete and self.call.pop("image", None) is not None:
            self.call["q"] = _with_picture(self.call["q"], answer["picture"])
        return items


def _with_picture(q: str, token: object) -> str:
    """Return a query with the picture that the server has kept: to send it again would begin another list."""
    if not isinstance(token, str):
        raise TypeError("the token of a picture is text")
    term = Term(Words(((f"pic:{token}", False),)))
    return str(parse(q).map(lambda part: replace(part, terms=(*part.terms, term))))
