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

from indexer.store.durability.durable_files import sync
from indexer.types import Progress
from retrieval.catalog.connection import connect_read_only
from retrieval.catalog.schema import CATALOG_FILE, INDEX_FOLDER, THUMBNAILS_FILE
from retrieval.errors import LibraryError
from retrieval.formatting import printable

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
class Member:
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
    """Write a backup of the library in `folder`. Raises LibraryError."""
    if target.is_dir():
        target /= f"clew-{datetime.now():%Y%m%d-%H%M%S}.tar"
    elif target.exists() and not overwrite:
        raise LibraryError(f"{printable(str(target))} exists. Choose another name, or use --overwrite.")
    try:
        with _work_folder(target.parent) as work:
            archive = work / "archive.tar"
            counts = _write_archive(folder, archive, work, progress)
            archive.replace(target)
        sync(target.parent)
        return Backup(target, target.stat().st_size, *counts)
    except OSError as error:
        raise LibraryError(f"Cannot write {printable(str(target))}: {error.strerror or error}.") from error


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
    """Copy a database as it is at this moment. Raises LibraryError."""
    try:
        with closing(connect_read_only(database).db) as db, closing(sqlite3.connect(copy)) as target:
            db.backup(target)
    except sqlite3.DatabaseError as error:
        raise LibraryError(f"Cannot read {database}: {error}. Run `clew verify`.") from error
    return copy


def _add_member(tar: tarfile.TarFile, name: str, source: Path) -> Member:
    with source.open("rb") as file:
        status = os.fstat(file.fileno())
        header = tarfile.TarInfo(name)
        header.size, header.mtime, header.mode = status.st_size, int(status.st_mtime), 0o644
        reader = DigestingReader(file)
        tar.addfile(header, reader)
    return Member(name, header.size, reader.sha256.hexdigest())


def _add_manifest(tar: tarfile.TarFile, members: list[Member]) -> None:
    text = json.dumps({"format": FORMAT, "members": [asdict(member) for member in members]}).encode()
    header = tarfile.TarInfo(MANIFEST)
    header.size = len(text)
    tar.addfile(header, BytesIO(text))
