"""Order files so that archives are read sequentially."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO, TypeVar

from retrieval.media.archives.archive import Opener, list_archive, member_openers, split_archive_path
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

MAX_REORDERED = 2_000  # items; after as many, a compressed tar is read from its start again

Item = TypeVar("Item")


def in_archive_order(
    items: Iterable[Item],
    path_of: Callable[[Item], bytes | None],
    max_reordered: int = MAX_REORDERED,
    limits: DecodeLimits = DEFAULT_LIMITS,
) -> Iterator[tuple[Item, Opener | None]]:
    """Yield each item with its opener, None if its file is not in an archive.

    The members of an archive come together and in its order, so that a compressed tar is unpacked once.
    """
    archives, count = dict[bytes, dict[bytes, list[Item]]](), 0
    for item in items:
        path = path_of(item)
        member = None if path is None else split_archive_path(path)
        if member is None:
            yield item, None
            continue
        archives.setdefault(member[0], {}).setdefault(member[1], []).append(item)
        count += 1
        if count == max_reordered:
            yield from _all_members(archives, limits)
            archives, count = {}, 0
    yield from _all_members(archives, limits)


def _all_members(
    archives: dict[bytes, dict[bytes, list[Item]]], limits: DecodeLimits
) -> Iterator[tuple[Item, Opener | None]]:
    for archive, wanted in archives.items():
        yield from _ordered_members(archive, wanted, limits)


def _ordered_members(
    archive: bytes, wanted: dict[bytes, list[Item]], limits: DecodeLimits
) -> Iterator[tuple[Item, Opener | None]]:
    missing: Opener = partial(_raise_not_found, archive)
    try:
        openers = member_openers(archive, list_archive(archive, wanted.__contains__, limits))
    except OSError as error:
        openers, missing = {}, partial(_raise_error, error)
    for name in [*openers, *(name for name in wanted if name not in openers)]:
        first, *more = wanted[name]
        yield first, openers.get(name, missing)
        yield from ((item, None) for item in more)  # an opener opens only once


def _raise_not_found(archive: bytes) -> BinaryIO:
    raise FileNotFoundError(2, f"no longer in {os.fsdecode(archive)}")


def _raise_error(error: OSError) -> BinaryIO:
    raise error
