"""Checksums of the pages of the catalog, in a file of their own.

SQLite detects a damaged page only by its structure, not if a byte of a vector or a name has changed. A
checkpoint copies pages from the log into the catalog. Before it, the checksums of the new pages are added to
those of the old ones; afterwards they replace them. So after a crash every page has one of the two.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.store.durability.durable_files import write_durably
from indexer.store.durability.page_file import PageFile
from retrieval.catalog.schema import CHECKSUMS_FILE

_HEADER = struct.Struct("<8sIIIII")  # magic, page size, pages, pending, bytes of the counts, is_open
_MAGIC = b"clewsum1"
_DIGEST_BYTES = 16
_PENDING = np.dtype([("page", "<u4"), ("checksum", "<u8")])
DAMAGED = 0  # as a checksum: the page was damaged and could not be restored when it was rewritten
UNKNOWN = 1  # as a checksum: of no content


@dataclass(slots=True)
class PageChecksums:
    """The checksums that the pages of a catalog may have."""

    page_size: int  # bytes
    pages: NDArray[np.uint64]  # the checksum of each page, from page 1; (n,)
    pending: dict[int, set[int]] = field(default_factory=dict)  # page -> checksums after a checkpoint
    row_counts: Mapping[str, int] = field(default_factory=dict)  # table -> rows, to state a loss
    is_open: bool = False  # a writer has commits in the log

    @classmethod
    def of_file(cls, file: PageFile) -> "PageChecksums":
        """Return the checksums of the pages as they are."""
        return cls(file.page_size, np.fromiter(map(page_checksum, file.read_all()), np.uint64))

    def is_known(self, page: int, content: bytes) -> bool:
        """Return True if a page may have this content."""
        checksum = page_checksum(content)
        return checksum in self.pending.get(page, ()) or (
            page <= len(self.pages) and int(self.pages[page - 1]) == checksum
        )

    def wrong_pages(self, file: PageFile, pages: Iterable[int]) -> list[int]:
        """Return those of the pages whose content is not known."""
        return [page for page in pages if not self.is_known(page, file.read(page))]

    def free_pages(self, file: PageFile) -> set[int]:
        """Return the free pages, whose content SQLite never reads, without those that a damaged page lists.

        https://www.sqlite.org/fileformat2.html#the_freelist.
        """
        free, read = set[int](), set[int]()
        page, at = 1, 32  # the header has the number of the first page of the list
        while page and page not in read and self.is_known(page, content := file.read(page)):
            read.add(page)
            if page > 1:
                count = int.from_bytes(content[4:8], "big")
                free.update(np.frombuffer(content, ">u4", min(count, len(content) // 4 - 2), 8).tolist())
            page, at = int.from_bytes(content[at : at + 4], "big"), 0
        return free

    def add_pending(self, frames: Iterable[tuple[int, int]]) -> None:
        """Add the checksums that pages have after a checkpoint."""
        for page, checksum in frames:
            self.pending.setdefault(page, set()).add(checksum)

    def finish_checkpoint(self, written: Mapping[int, int], file: PageFile) -> None:
        """Replace the checksums of the pages that a checkpoint has written; a damaged page stays damaged.

        Those of new pages without content, and of pages that an earlier checkpoint may have written, are
        computed from the file.
        """
        old, self.pages = self.pages, np.zeros(file.count, np.uint64)
        kept = min(len(old), len(self.pages))
        self.pages[:kept] = old[:kept]
        for page in {*self.pending, *written, *range(len(old) + 1, len(self.pages) + 1)}:
            is_damaged = page <= kept and old[page - 1] == DAMAGED
            if page <= len(self.pages) and not is_damaged:
                self.pages[page - 1] = written.get(page) or page_checksum(file.read(page))
        self.pending = {}


def page_checksum(page: bytes) -> int:
    """Return the checksum of a page: BLAKE2b of 8 bytes, never DAMAGED or UNKNOWN."""
    return int.from_bytes(hashlib.blake2b(page, digest_size=8).digest(), "little") | 2


def read_checksums(folder: Path) -> PageChecksums | None:
    """Return the checksums of a library; None if it has none, or if their file is damaged."""
    try:
        data = (folder / CHECKSUMS_FILE).read_bytes()
    except OSError:
        return None
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if len(body) < _HEADER.size or hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
        return None
    magic, page_size, page_count, pending_count, counts_size, is_open = _HEADER.unpack_from(body)
    if magic != _MAGIC:
        return None
    at = _HEADER.size
    pages = np.frombuffer(body, "<u8", page_count, at).astype(np.uint64)
    pending = np.frombuffer(body, _PENDING, pending_count, at + 8 * page_count)
    counts = json.loads(body[len(body) - counts_size :])
    known = PageChecksums(page_size, pages, row_counts=counts, is_open=bool(is_open))
    known.add_pending((int(page), int(checksum)) for page, checksum in pending)
    return known


def write_checksums(folder: Path, known: PageChecksums) -> None:
    """Write the checksums of a library durably. Raises OSError."""
    rows = [(page, checksum) for page, checksums in known.pending.items() for checksum in checksums]
    counts = json.dumps(dict(known.row_counts)).encode()
    header = _HEADER.pack(_MAGIC, known.page_size, len(known.pages), len(rows), len(counts), known.is_open)
    body = b"".join([header, known.pages.astype("<u8").tobytes(), np.array(rows, _PENDING).tobytes(), counts])
    digest = hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
    write_durably(folder / CHECKSUMS_FILE, body + digest)
