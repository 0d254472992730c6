"""Give files of archives their turn: in the order in which their archive holds them, with what opens each."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO, TypeVar

from retrieval.media.archives.archive import Opener, list_archive, member_openers, split_archive_path

MAX_REORDERED = 2_000  # items that are put in order; for as many, a packed tar is unpacked from its beginning

Item = TypeVar("Item")


def in_archive_order(
    items: Iterable[Item], path_of: Callable[[Item], bytes | None], max_reordered: int = MAX_REORDERED
) -> Iterator[tuple[Item, Opener | None]]:
    """Yield each item with what opens its place; None where that is in no archive.

    The members of an archive come together, in its order, so that a packed tar is unpacked in one go.
    """
    archives, held = dict[bytes, dict[bytes, list[Item]]](), 0
    for item in items:
        path = path_of(item)
        inside = None if path is None else split_archive_path(path)
        if inside is None:
            yield item, None
            continue
        archives.setdefault(inside[0], {}).setdefault(inside[1], []).append(item)
        held += 1
        if held == max_reordered:
            yield from _all_members(archives)
            archives, held = {}, 0
    yield from _all_members(archives)


def _all_members(
    archives: dict[bytes, dict[bytes, list[Item]]],
) -> Iterator[tuple[Item, Opener | None]]:
    for archive, wanted in archives.items():
        yield from _ordered_members(archive, wanted)


def _ordered_members(archive: bytes, wanted: dict[bytes, list[Item]]) -> Iterator[tuple[Item, Opener | None]]:
    missing: Opener = partial(_raise_not_found, archive)
    try:
        opens = member_openers(archive, list_archive(archive, wanted.__contains__))
    except OSError as error:
        opens, missing = {}, partial(_raise_error, error)
    for name in [*opens, *(name for name in wanted if name not in opens)]:
        first, *more = wanted[name]
        yield first, opens.get(name, missing)
        yield from ((item, None) for item in more)  # a packed tar is unpacked once


def _raise_not_found(archive: bytes) -> BinaryIO:
    raise FileNotFoundError(2, f"not in {os.fsdecode(archive)} any more")


def _raise_error(error: OSError) -> BinaryIO:
    raise error
