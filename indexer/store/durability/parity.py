"""Parity of the catalog's pages, from which damaged pages are restored.

Each group of 16 pages has one page of parity, the exclusive or of their bytes, as in RAID 5 (Patterson,
Gibson and Katz, SIGMOD 1988). Consecutive pages are in different groups, so that a damaged range of 16 pages
can be restored. Parity that a crash has left outdated gives wrong pages, which their checksums detect.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.store.durability.page_file import PageFile
from retrieval.catalog.schema import PARITY_FILE

GROUP_PAGES = 16  # pages with one page of parity
LANES = 16  # consecutive pages in different groups


def group_of(page: int) -> int:
    """Return the group of a page."""
    block, offset = divmod(page - 1, GROUP_PAGES * LANES)
    return block * LANES + offset % LANES


def group_members(group: int, page_count: int) -> list[int]:
    """Return the pages of a group, ascending."""
    block, lane = divmod(group, LANES)
    first = block * GROUP_PAGES * LANES + lane + 1
    return [page for page in range(first, first + GROUP_PAGES * LANES, LANES) if page <= page_count]


def write_parity(folder: Path, file: PageFile, groups: Iterable[int]) -> None:
    """Compute the parity of groups from their pages, durably. Raises OSError."""
    descriptor = os.open(folder / PARITY_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        for group in groups:
            parity = _exclusive_or(file.read_all(group_members(group, file.count)), file.page_size)
            os.pwrite(descriptor, parity.tobytes(), group * file.page_size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def outdated_groups(folder: Path, file: PageFile) -> list[int]:
    """Return the groups whose stored parity differs from that of their pages."""
    size, count = file.page_size, file.count
    groups = sorted({group_of(page) for page in range(1, count + 1)})
    try:
        with (folder / PARITY_FILE).open("rb") as opened:
            return [
                group
                for group in groups
                if os.pread(opened.fileno(), size, group * size)
                != _exclusive_or(file.read_all(group_members(group, count)), size).tobytes()
            ]
    except OSError:
        return groups


def restored_page(folder: Path, file: PageFile, page: int, page_count: int) -> bytes:
    """Return the content that a page has by its group and parity; the catalog had `page_count` pages."""
    size, group = file.page_size, group_of(page)
    try:
        with (folder / PARITY_FILE).open("rb") as opened:
            opened.seek(group * size)
            parity = opened.read(size)
    except OSError:
        return b""
    others = [member for member in group_members(group, page_count) if member != page]
    return _exclusive_or([parity, *file.read_all(others)], size).tobytes()


def _exclusive_or(pages: Iterable[bytes], size: int) -> NDArray[np.uint8]:
    result = np.zeros(size, np.uint8)
    for page in pages:
        result[: len(page)] ^= np.frombuffer(page, np.uint8)
    return result
