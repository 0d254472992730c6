"""Continue a list of hits although the library changes."""

import base64
import hashlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from retrieval.errors import QueryError

Keys: TypeAlias = tuple[Hashable, ...]  # of a hit and the others of its group

MAX_CURSOR_LENGTH = 200  # characters
MAX_PLACE = 1_000_000  # hits before a cursor


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list: the hits before it, by the keys of their groups; None if they were forgotten."""

    list_id: str
    count: int = 0
    given: tuple[Keys, ...] | None = ()


class Cursors:
    """Which hits were given, for the lists that were read last.

    A cursor is the id of a list and a place in it. The next part has the best hits that were not given, so
    none is repeated or lost when files are added or removed. If the list has been forgotten, as after a
    restart, the next part begins at the place.
    """

    def __init__(self, max_lists: int) -> None:
        self._max_lists, self._lock = max_lists, Lock()
        self._lists = OrderedDict[str, tuple[str, tuple[Keys, ...]]]()  # id -> query, keys of hits

    def find(self, cursor: str | None, query: object) -> Place:
        """Return the place of a cursor of this query, without a cursor the beginning; raises QueryError."""
        if not cursor:
            return Place(secrets.token_urlsafe(8))
        try:
            if len(cursor) > MAX_CURSOR_LENGTH:
                raise ValueError
            list_id, count, digest = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=="))
            is_valid = isinstance(list_id, str) and type(count) is int and 0 <= count <= MAX_PLACE
        except (ValueError, TypeError, RecursionError):
            is_valid = False
        if not is_valid:
            raise QueryError("Invalid cursor. Use the `cursor` of the answer before, or none.")
        if digest != _digest(query):
            raise QueryError("This cursor belongs to another search. Search again without it.")
        with self._lock:
            known, given = self._lists.get(list_id, ("", ()))
        is_known = known == digest and len(given) >= count
        return Place(list_id[:32], count, given[:count] if is_known else None)

    def save(self, place: Place, query: object, given: Iterable[Keys]) -> str:
        """Return the cursor of a list of which these hits have been given, including earlier ones."""
        keys, digest = tuple(given), _digest(query)
        with self._lock:
            self._lists[place.list_id] = digest, keys
            self._lists.move_to_end(place.list_id)
            while len(self._lists) > self._max_lists:
                self._lists.popitem(last=False)
        text = json.dumps([place.list_id, len(keys), digest])
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _digest(query: object) -> str:
    """Return a short digest of a query, which a cursor contains."""
    return hashlib.sha256(repr(query).encode("utf-8", "backslashreplace")).hexdigest()[:12]
