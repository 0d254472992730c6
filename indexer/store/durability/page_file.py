"""Read and write pages of the catalog's file while SQLite has it open."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retrieval.catalog.schema import CATALOG_FILE


@dataclass(frozen=True, slots=True)
class PageFile:
    """The pages of a database file, which count from 1."""

    descriptor: int
    page_size: int  # bytes

    @property
    def count(self) -> int:
        """Return the number of pages; a last one may be incomplete."""
        return -(-os.fstat(self.descriptor).st_size // self.page_size)

    def read(self, page: int) -> bytes:
        """Return the content of a page, shorter than a page at the end of a truncated file."""
        return os.pread(self.descriptor, self.page_size, (page - 1) * self.page_size)

    def read_all(self, pages: Iterable[int] | None = None) -> Iterator[bytes]:
        """Yield the contents of pages, by default of all."""
        yield from map(self.read, range(1, self.count + 1) if pages is None else pages)

    def write(self, pages: Mapping[int, bytes]) -> None:
        """Write pages and sync the file. Raises OSError."""
        for page, content in pages.items():
            os.pwrite(self.descriptor, content, (page - 1) * self.page_size)
        os.fsync(self.descriptor)


@contextmanager
def open_page_file(folder: Path, page_size: int | None = None) -> Iterator[PageFile]:
    """Open the catalog in `folder`; its header has the size of its pages unless it is known.

    A file that SQLite has open is accessed through SQLite's descriptor: closing another one would release the
    locks of this process (https://www.sqlite.org/howtocorrupt.html, section 2.2). Raises OSError.
    """
    path = folder / CATALOG_FILE
    shared = _descriptors_of(path)
    writable = [known for known in shared if fcntl.fcntl(known, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR]
    descriptor = writable[0] if writable else os.open(path, os.O_RDWR)
    try:
        yield PageFile(descriptor, page_size or _page_size(descriptor))
    finally:
        if descriptor not in shared and _descriptors_of(path) == [descriptor]:
            os.close(descriptor)


def _page_size(descriptor: int) -> int:
    """Return the size of pages; https://www.sqlite.org/fileformat2.html#the_database_header."""
    size = int.from_bytes(os.pread(descriptor, 18, 0)[16:18], "big")
    return 65_536 if size == 1 else size or 4096


def _descriptors_of(path: Path) -> list[int]:
    """Return the descriptors by which this process has a file open."""
    wanted, found = path.stat(), []
    for name in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:  # the descriptor of the listing
            continue
        if (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.append(int(name))
    return found
