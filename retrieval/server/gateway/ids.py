"""Ids of segments that are unique among several libraries: the number of a library, and the id in it."""

import re
from typing import Any

from retrieval.errors import LibraryError

IDS_PER_LIBRARY = 2**40
MAX_LIBRARIES = 2**12  # JavaScript has exact integers up to 2**53
ADDRESS = re.compile(r"/api/segments/(\d+)/")


def joined(number: int, id_: int) -> int:
    """Return the id of a segment of a library among all. Raises LibraryError for ids of a gateway."""
    if not 0 < id_ < IDS_PER_LIBRARY:
        raise LibraryError("It serves several libraries itself. Give the address of each of them instead.")
    return number * IDS_PER_LIBRARY + id_


def split(id_: int) -> tuple[int, int]:
    """Return the number of the library of a segment, and its id there."""
    return divmod(id_, IDS_PER_LIBRARY)


def with_joined_ids(value: Any, number: int, key: str = "") -> Any:
    """Return an answer of a library whose ids, and addresses of segments, are those among all.

    Raises LibraryError for ids of a gateway, TypeError and ValueError for those that are none.
    """
    if isinstance(value, dict):
        return {name: with_joined_ids(each, number, name) for name, each in value.items()}
    if isinstance(value, list):
        return [with_joined_ids(each, number, key) for each in value]
    if key == "id":
        if type(value) is not int:
            raise TypeError("an id is a whole number")
        return joined(number, value)
    if key in ("media", "url") and isinstance(value, str):
        return ADDRESS.sub(lambda match: f"/api/segments/{joined(number, int(match[1]))}/", value)
    return value
