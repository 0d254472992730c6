"""Find and restore damaged pages of the catalog."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from indexer.store.durability.log_frames import log_frames, log_path
from indexer.store.durability.page_checksums import PageChecksums, read_checksums
from indexer.store.durability.page_file import PageFile, open_page_file
from indexer.store.durability.parity import restored_page
from retrieval.catalog.schema import CATALOG_FILE

MIN_FOREIGN_PAGES, MAX_DAMAGED_SHARE = 16, 0.1


@dataclass(frozen=True, slots=True)
class PageDamage:
    """The pages of a catalog whose checksums are wrong."""

    restored: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()
    count: int = 0  # of all pages

    @property
    def is_foreign(self) -> bool:
        """Return True if so many pages are wrong that another program has probably written them."""
        return len(self.damaged) > max(MIN_FOREIGN_PAGES, MAX_DAMAGED_SHARE * self.count)


def check_pages(folder: Path, *, repair: bool = False) -> PageDamage:
    """Check the pages of a catalog, and with `repair` restore damaged ones from parity.

    The library is locked. Pages in the log are left out: SQLite reads them from the log, which has checksums.
    Raises OSError.
    """
    known = read_checksums(folder)
    if known is None or (known.is_open and not any(log_frames(log_path(folder / CATALOG_FILE)))):
        return PageDamage()
    in_log = {page for page, _ in log_frames(log_path(folder / CATALOG_FILE))}
    with open_page_file(folder, known.page_size) as file:
        count = max(len(known.pages), file.count)
        wrong = known.wrong_pages(file, (page for page in range(1, count + 1) if page not in in_log))
        restored = restore_pages(folder, file, known, wrong) if repair else []
    return PageDamage(tuple(restored), tuple(page for page in wrong if page not in restored), count)


def restore_pages(folder: Path, file: PageFile, known: PageChecksums, wrong: Iterable[int]) -> list[int]:
    """Restore pages from parity as far as their checksums confirm them, and return their numbers."""
    restored = []
    for page in wrong:
        content = restored_page(folder, file, page, len(known.pages))
        if page <= len(known.pages) and known.is_known(page, content):
            file.write(page, content)
            restored.append(page)
    return restored
