"""Open the catalog for writing, with checksums of its pages.

Settings of SQLite, and why:

- WAL: readers never wait for the writer, nor the writer for readers.
- `synchronous = NORMAL`: the log is synced before each checkpoint, not at each commit. A power failure may
  lose the last commits of a run, which the next run repeats, but never damages the catalog. Each command ends
  with a checkpoint, so that its reported results are on the disk.
- No automatic checkpoints: each one first records the checksums of the pages that it will write.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from indexer.store.durability.damage import check_pages, restored_pages
from indexer.store.durability.durable_files import sync
from indexer.store.durability.log_frames import log_frames
from indexer.store.durability.losses import Loss, find_loss, record_loss
from indexer.store.durability.page_checksums import (
    DAMAGED,
    UNKNOWN,
    PageChecksums,
    page_checksum,
    read_checksums,
    write_checksums,
)
from indexer.store.durability.page_file import PageFile, open_page_file
from indexer.store.durability.parity import group_members, group_of, write_parity
from retrieval.catalog.connection import InterruptibleConnection, log_path
from retrieval.catalog.schema import CATALOG_FILE, CHECKSUMS_FILE, PARITY_FILE

MAX_LOG_BYTES = 64 << 20  # a larger log is copied into the catalog at the next commit
COUNTED_TABLES = ("files", "contents", "segments", "tags", "concepts", "examples", "saved_searches")


class CatalogConnection(InterruptibleConnection):
    """A connection that records the checksums of pages before SQLite writes them into the catalog."""

    folder: Path
    loss: Loss | None = None  # in the log that a killed process has left
    _has_commits = False  # in the log
    _committed_changes = 0  # `total_changes` at the last commit
    _checkpoint_bytes = MAX_LOG_BYTES  # of the log, after which it is copied

    @classmethod
    def open(cls, folder: Path) -> "CatalogConnection":
        """Open or create the catalog in `folder`."""
        if not (folder / CATALOG_FILE).exists():  # a deleted catalog leaves its checksums
            for name in (CHECKSUMS_FILE, PARITY_FILE):
                (folder / name).unlink(missing_ok=True)
        if loss := find_loss(folder):
            record_loss(folder, loss)
        db: CatalogConnection = sqlite3.connect(folder / CATALOG_FILE, factory=cls)
        db.folder, db.loss = folder, loss
        try:
            db.execute("PRAGMA wal_autocheckpoint = 0")
            db.execute("PRAGMA journal_size_limit = 0")  # shortens the log when it starts again
            db.execute("PRAGMA page_size = 16384")  # complete vectors on a page
            if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                db.execute("PRAGMA journal_mode = WAL")  # SQLite does not report a disk that was full
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA foreign_keys = ON")
            db.checkpoint("PASSIVE")  # what a process that was killed has left
        except BaseException:
            super(CatalogConnection, db).close()
            raise
        return db

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Run a statement; after the commit of a large log, also a checkpoint.

        VACUUM raises sqlite3.OperationalError if the catalog is damaged: it would give damage new checksums.
        """
        if arguments[0] == "VACUUM":
            self._require_intact_pages()
        if arguments[0] != "COMMIT":
            return super().execute(*arguments)
        if self.total_changes != self._committed_changes and not self._has_commits:
            self._mark_open()
        cursor = super().execute(*arguments)
        self._committed_changes = self.total_changes
        size = _size(log_path(self.folder / CATALOG_FILE))
        if size < self._checkpoint_bytes - MAX_LOG_BYTES:  # the log has started again
            self._checkpoint_bytes = MAX_LOG_BYTES
        if size > self._checkpoint_bytes:
            self.checkpoint("PASSIVE")
            self._checkpoint_bytes = size + MAX_LOG_BYTES
        return cursor

    def _require_intact_pages(self) -> None:
        self.checkpoint("TRUNCATE")
        if check_pages(self.folder, repair=True).damaged:
            raise sqlite3.OperationalError("the catalog is damaged; `clew verify --repair` recovers it")

    def checkpoint(self, mode: str) -> None:
        """Copy the log into the catalog as far as readers allow, and record checksums and parity.

        `mode` is one of SQLite's: PASSIVE, or TRUNCATE to empty the log. A catalog without checksums is
        trusted as it is. On a full disk the log is kept.
        """
        log = log_path(self.folder / CATALOG_FILE)
        frames = [(page, page_checksum(content)) for page, content in log_frames(log)]
        known = read_checksums(self.folder)
        if known is not None and not frames and not known.pending and not known.is_open:
            return
        with open_page_file(self.folder) as file:
            # Another program has copied the log of a killed process: which pages it wrote is not known.
            is_foreign = known is not None and known.is_open and not frames and not self._has_commits
            pages = set[int]()
            if known is None or is_foreign:
                known, pages = PageChecksums.of_file(file), set(range(1, file.count + 1))
            torn = set(known.pending)  # by a checkpoint that was interrupted; the log has these pages
            known.add_pending(frames)
            groups = {group_of(page) for page in pages | known.pending.keys()}
            self._restore(file, known, groups, torn)
            known.row_counts, known.is_open = self._row_counts(), True
            self._save(known)
            try:
                _, log_size, copied = super().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if log_size != copied:  # a reader needs the log; the pages may have either checksum
                    return
                super().execute(f"PRAGMA wal_checkpoint({mode})")
            except sqlite3.OperationalError:
                return
            old_count = len(known.pages)
            known.finish_checkpoint(dict(frames[:log_size]), file)
            groups |= {group_of(page) for page in range(len(known.pages) + 1, old_count + 1)}
            with suppress(OSError):  # a full disk: parity that is outdated restores nothing
                write_parity(self.folder, file, sorted(self._intact(groups, known)))
        known.is_open = self._has_commits = False
        self._save(known)

    def _mark_open(self) -> None:
        """Record that the log will have commits, so that a checkpoint by another program is recognized."""
        known = read_checksums(self.folder)
        if known is not None and not known.is_open:
            known.is_open = True
            self._save(known)
        self._has_commits = True

    def _restore(
        self, file: PageFile, known: PageChecksums, groups: Iterable[int], torn: Collection[int]
    ) -> None:
        """Restore damaged pages of groups before their parity changes, or mark them as damaged.

        A page that will be overwritten is marked: its new content was made from the damaged one, unless it
        was free.
        """
        count = len(known.pages)
        pages = [page for group in groups for page in group_members(group, count) if page not in torn]
        wrong = [page for page in known.wrong_pages(file, pages) if known.pages[page - 1] != DAMAGED]
        kept = [page for page in wrong if page not in known.pending]
        restored = restored_pages(self.folder, file, known, kept)
        if restored:
            file.write(restored)
        for page in set(wrong) - set(restored):
            known.pages[page - 1] = DAMAGED
        marked = [page for page in known.pending if page <= count and known.pages[page - 1] == DAMAGED]
        for page in known.free_pages(file).intersection(marked) if marked else ():
            known.pages[page - 1] = UNKNOWN

    def _intact(self, groups: Iterable[int], known: PageChecksums) -> Iterator[int]:
        """Yield the groups without damaged pages."""
        count = len(known.pages)
        for group in groups:
            if all(known.pages[page - 1] != DAMAGED for page in group_members(group, count)):
                yield group

    def _save(self, known: PageChecksums) -> None:
        """Write the checksums; on a full disk delete the old ones, which the checkpoint makes wrong."""
        try:
            write_checksums(self.folder, known)
        except OSError:
            with suppress(OSError):
                (self.folder / CHECKSUMS_FILE).unlink(missing_ok=True)

    def _row_counts(self) -> dict[str, int]:
        """Return the number of rows of the tables whose loss would be reported."""
        tables = {row[0] for row in super().execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {
            table: int(super(CatalogConnection, self).execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table in COUNTED_TABLES
            if table in tables
        }

    def close(self) -> None:
        """Close the connection; SQLite copies the log into the catalog if no reader is left."""
        with suppress(sqlite3.Error):
            self.checkpoint("TRUNCATE")
        with suppress(OSError):  # a reader needs the log: its commits become durable without a checkpoint
            sync(log_path(self.folder / CATALOG_FILE))
        super().close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
