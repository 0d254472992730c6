"""Find and restore damaged pages of the catalog."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.store.durability.log_frames import log_frames
from indexer.store.durability.page_checksums import PageChecksums, read_checksums
from indexer.store.durability.page_file import PageFile, open_page_file
from indexer.store.durability.parity import outdated_groups, restored_page, write_parity
from retrieval.catalog.connection import log_path
from retrieval.catalog.schema import CATALOG_FILE, CHECKSUMS_FILE

MIN_FOREIGN_PAGES, MAX_DAMAGED_SHARE = 16, 0.1
NO_CHECKSUMS = (
    "The checksums of the catalog are damaged, so only SQLite has checked it. They are made again now."
)
OUTDATED_PARITY = (
    "The parity of the catalog is damaged or outdated. `clew verify --repair` computes it again."
)


@dataclass(frozen=True, slots=True)
class PageDamage:
    """The pages of a catalog whose checksums are wrong."""

    restored: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()
    count: int = 0  # of all pages
    notes: tuple[str, ...] = ()  # on the checksums and the parity themselves

    @property
    def is_many(self) -> bool:
        """Return True if another program may have written the pages: more are wrong than a disk damages."""
        return len(self.damaged) > max(MIN_FOREIGN_PAGES, MAX_DAMAGED_SHARE * self.count)


def check_pages(folder: Path, *, repair: bool = False) -> PageDamage:
    """Check the pages of a catalog; with `repair`, restore the damaged ones from parity, all or none.

    The library is locked. Pages in the log are left out: SQLite takes them from there. Raises OSError.
    """
    known = read_checksums(folder)
    log = log_path(folder / CATALOG_FILE)
    if known is None:
        exists = (folder / CHECKSUMS_FILE).exists()
        return PageDamage(notes=(NO_CHECKSUMS,) * exists)
    in_log = {page for page, _ in log_frames(log)}
    if known.is_open and not in_log:  # another program has copied the log of a killed process
        return PageDamage()
    with open_page_file(folder, known.page_size) as file:
        wrong = known.wrong_pages(file, _pages_to_check(known, file, in_log))
        found = PageDamage((), tuple(wrong), max(len(known.pages), file.count))
        if not wrong and not in_log and not known.pending:
            return replace(found, notes=_check_parity(folder, file, repair=repair))
        if wrong and repair and not found.is_many:
            restored = restored_pages(folder, file, known, wrong)
            if len(restored) == len(wrong):
                file.write(restored)
                return replace(found, restored=tuple(wrong), damaged=())
    return found


def _pages_to_check(known: PageChecksums, file: PageFile, in_log: Collection[int]) -> Iterator[int]:
    """Yield the pages that have a checksum, or that should have one.

    While a checkpoint is under way, the file may have become shorter, or longer by pages without content.
    """
    count = file.count if known.pending else max(len(known.pages), file.count)
    for page in range(1, count + 1):
        is_new = page > len(known.pages) and page not in known.pending
        if page not in in_log and not (known.pending and is_new):
            yield page


def _check_parity(folder: Path, file: PageFile, *, repair: bool) -> tuple[str, ...]:
    """Compute the parity of intact pages again, and with `repair` renew it."""
    outdated = outdated_groups(folder, file)
    if outdated and repair:
        write_parity(folder, file, outdated)
    return (OUTDATED_PARITY,) if outdated and not repair else ()


def restored_pages(
    folder: Path, file: PageFile, known: PageChecksums, wrong: Iterable[int]
) -> dict[int, bytes]:
    """Return the contents of pages by parity, as far as their checksums confirm them."""
    restored = {}
    for page in wrong:
        content = restored_page(folder, file, page, len(known.pages))
        if page <= len(known.pages) and known.is_known(page, content):
            restored[page] = content
    return restored
