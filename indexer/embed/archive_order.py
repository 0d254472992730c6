"""Give files of archives their turn: in the order in which their archive holds them, with what opens each."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO, TypeVar

from retrieval.media.archives.archive import Opener, archive_of, list_archive, openers

AT_ONCE = 2_000  # items that are put in order; for as many, a packed tar is unpacked from its beginning

Given = TypeVar("Given")


def in_turn(
    items: Iterable[Given], place: Callable[[Given], bytes | None], at_once: int = AT_ONCE
) -> Iterator[tuple[Given, Opener | None]]:
    """Yield each item with what opens its place; None where that is in no archive.

    The members of an archive come together, in its order, so that a packed tar is unpacked in one go.
    """
    archives, held = dict[bytes, dict[bytes, list[Given]]](), 0
    for item in items:
        path = place(item)
        inside = None if path is None else archive_of(path)
        if inside is None:
            yield item, None
            continue
        archives.setdefault(inside[0], {}).setdefault(inside[1], []).append(item)
        held += 1
        if held == at_once:
            yield from _each(archives)
            archives, held = {}, 0
    yield from _each(archives)


def _each(
    archives: dict[bytes, dict[bytes, list[Given]]],
) -> Iterator[tuple[Given, Opener | None]]:
    for archive, wanted in archives.items():
        yield from _members(archive, wanted)


def _members(archive: bytes, wanted: dict[bytes, list[Given]]) -> Iterator[tuple[Given, Opener | None]]:
    missing: Opener = partial(_missing, archive)
    try:
        opens = openers(archive, list_archive(archive, wanted.__contains__))
    except OSError as error:
        opens, missing = {}, partial(_failed, error)
    for name in [*opens, *(name for name in wanted if name not in opens)]:
        first, *more = wanted[name]
        yield first, opens.get(name, missing)
        yield from ((item, None) for item in more)  # a packed tar is unpacked once


def _missing(archive: bytes) -> BinaryIO:
    raise FileNotFoundError(2, f"not in {os.fsdecode(archive)} any more")


def _failed(error: OSError) -> BinaryIO:
    raise error
