"""Write a backup: a tar archive of the databases and index files, and a list of their checksums.

The databases are copied by SQLite's backup API, so that the copy is of one moment even while the library is
being written. An index file is immutable; one that is deleted meanwhile is built again after the restore.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from indexer.store.durability.damage import check_pages
from indexer.store.durability.durable_files import sync
from indexer.store.lock import library_lock
from indexer.types import Progress
from retrieval.catalog.connection import connect_read_only
from retrieval.catalog.schema import CATALOG_FILE, INDEX_FOLDER, THUMBNAILS_FILE
from retrieval.errors import LibraryDamaged, LibraryError
from retrieval.formatting import pluralize, printable

WORK_PREFIX = ".clew-backup-"
MANIFEST = "manifest.json"  # the last member
FORMAT = "clew-backup-1"


@dataclass(frozen=True, slots=True)
class Backup:
    """A written backup: its archive and the number of files and segments in it."""

    file: Path
    bytes: int
    files: int
    segments: int


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file in an archive."""

    name: str
    size: int  # bytes
    sha256: str


class DigestingReader:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read and hash bytes."""
        data = self.file.read(size)
        self.sha256.update(data)
        return data


def write_backup(folder: Path, target: Path, progress: Progress, *, overwrite: bool) -> Backup:
    """Write a backup of the library in `folder`.

    A target without a suffix is a folder, unless it is a file. Raises LibraryError and LibraryDamaged.
    """
    try:
        if target.exists() and not target.is_dir() and not overwrite:
            raise LibraryError(f"{printable(str(target))} exists. Choose another name, or use --overwrite.")
        _require_intact_pages(folder)
        if target.is_dir() or not (target.exists() or target.suffix):
            target.mkdir(exist_ok=True)  # without parents: a drive may not be mounted
            target /= f"clew-{datetime.now():%Y%m%d-%H%M%S}.tar"
        file = Path(os.path.realpath(target))  # a link remains one
        with _work_folder(file.parent) as work:
            archive = work / "archive.tar"
            counts = _write_archive(folder, archive, work, progress)
            archive.replace(file)
        sync(file.parent)
        return Backup(target, file.stat().st_size, *counts)
    except OSError as error:
        raise LibraryError(f"Cannot write {printable(str(target))}: {error.strerror or error}.") from error


def _require_intact_pages(folder: Path) -> None:
    """Raise LibraryDamaged if pages of the catalog changed on the disk; not while it is written."""
    pages = 0
    with suppress(LibraryError, OSError), library_lock(folder):  # in use, or not writable
        pages = len(check_pages(folder).damaged)
    if pages:
        raise _damaged(folder, f"{pluralize(pages, 'page')} of the catalog changed on the disk")


def _damaged(folder: Path, problem: str) -> LibraryDamaged:
    return LibraryDamaged(
        f"The library at {printable(str(folder))} is damaged: {problem}. Run `clew verify --repair` first."
    )


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """Yield a locked temporary folder; delete those that killed processes have left."""
    for abandoned in parent.glob(f"{WORK_PREFIX}*"):
        with suppress(OSError), _locked(abandoned):
            shutil.rmtree(abandoned, ignore_errors=True)
    with TemporaryDirectory(prefix=WORK_PREFIX, dir=parent) as work, _locked(Path(work)):
        yield Path(work)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder; the system unlocks it even after kill -9. Raises BlockingIOError if it is locked."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _write_archive(folder: Path, archive: Path, work: Path, progress: Progress) -> tuple[int, int]:
    """Write and sync an archive, and return the number of files and segments in it."""
    copies = {CATALOG_FILE: _copy_database(folder / CATALOG_FILE, work / CATALOG_FILE)}
    if (folder / THUMBNAILS_FILE).exists():
        copies[THUMBNAILS_FILE] = _copy_database(folder / THUMBNAILS_FILE, work / THUMBNAILS_FILE)
    with closing(sqlite3.connect(copies[CATALOG_FILE])) as db:
        indexes = [row[0] for row in db.execute("SELECT file FROM indexes ORDER BY file")]
        counts = library_counts(db)
    sources = copies | {f"{INDEX_FOLDER}/{name}": folder / INDEX_FOLDER / name for name in indexes}
    members = []
    with archive.open("wb") as opened:
        with tarfile.open(fileobj=opened, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for number, (name, source) in enumerate(sources.items()):
                progress("backup", number, len(sources))
                if source.exists():
                    members.append(_add_member(tar, name, source))
            _add_manifest(tar, members)
        opened.flush()
        os.fsync(opened.fileno())
    return counts


def library_counts(db: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of indexed files and of segments of a catalog."""
    files = "SELECT count(*) FROM files WHERE state != 'gone' AND content IS NOT NULL"
    (counts,) = db.execute(f"SELECT ({files}), (SELECT count(*) FROM segments)")
    return counts[0], counts[1]


def _copy_database(database: Path, copy: Path) -> Path:
    """Copy a database as it is at this moment, and check the copy. Raises LibraryError and LibraryDamaged."""
    try:
        with closing(connect_read_only(database).db) as db, closing(sqlite3.connect(copy)) as target:
            db.backup(target)
            (result,) = target.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        raise LibraryError(f"Cannot copy {printable(str(database))}: {error}.") from error
    except sqlite3.DatabaseError as error:
        result = str(error)
    if result != "ok":
        raise _damaged(database.parent, f"{database.name}: {result.splitlines()[-1]}")
    return copy


def _add_member(tar: tarfile.TarFile, name: str, source: Path) -> ArchivedFile:
    with source.open("rb") as file:
        status = os.fstat(file.fileno())
        header = tarfile.TarInfo(name)
        header.size, header.mtime, header.mode = status.st_size, int(status.st_mtime), 0o644
        reader = DigestingReader(file)
        tar.addfile(header, reader)
    return ArchivedFile(name, header.size, reader.sha256.hexdigest())


def _add_manifest(tar: tarfile.TarFile, members: list[ArchivedFile]) -> None:
    text = json.dumps({"format": FORMAT, "members": [asdict(member) for member in members]}).encode()
    header = tarfile.TarInfo(MANIFEST)
    header.size = len(text)
    tar.addfile(header, BytesIO(text))
