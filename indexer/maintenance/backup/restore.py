"""Restore a library from a backup."""

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO

from indexer.maintenance.backup.archive import FORMAT, MANIFEST, library_counts
from indexer.store.durability.durable_files import exchange_folders, sync
from indexer.store.lock import unnamed_lock
from indexer.types import Progress
from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.schema import APPLIED_MIGRATIONS, CATALOG_FILE, INDEX_FOLDER
from retrieval.errors import LibraryDamaged, LibraryError, LibraryVersionMismatch
from retrieval.formatting import printable

COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Restored:
    """A restored library: its folder, the number of files and segments, and the library that it replaced."""

    library: Path
    files: int
    segments: int
    kept: Path | None


def restore_backup(archive: Path, folder: Path, progress: Progress, *, replace: bool) -> Restored:
    """Restore a library from an archive. Raises LibraryError and LibraryDamaged."""
    name, real = printable(str(archive)), Path(os.path.realpath(folder))  # a link remains one
    try:
        exists = real.exists() and any(real.iterdir())
        if exists and not replace:
            raise LibraryError(
                f"{printable(str(folder))} is not empty. Use --replace to set it aside, or --library DIR to "
                "restore to another folder."
            )
        with _open(archive) as file:
            real.parent.mkdir(parents=True, exist_ok=True)
            with _work_folder(real) as work:
                _extract(file, name, work, progress)
                files, segments = _counts(work, name)
                kept = None
                if exists:
                    with unnamed_lock(real):
                        kept = _exchange(work, real)
                else:
                    _move(work, real)
        return Restored(folder, files, segments, kept)
    except OSError as error:
        raise LibraryError(f"Cannot restore {printable(str(folder))}: {error.strerror or error}.") from error


def _open(archive: Path) -> BinaryIO:
    """Open an archive. Raises LibraryError."""
    try:
        return archive.open("rb")
    except OSError as error:
        raise LibraryError(f"Cannot read {printable(str(archive))}: {error.strerror}.") from error


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder next to the library, and delete it unless it was renamed.

    It is locked meanwhile, so that the next restore can delete those of processes that were killed.
    """
    prefix = f".{folder.name}.restore-"
    for left in [path for path in folder.parent.iterdir() if path.name.startswith(prefix)]:
        with suppress(LibraryError), unnamed_lock(left):
            shutil.rmtree(left, ignore_errors=True)
    work = Path(mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        with unnamed_lock(work):
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract(archive: BinaryIO, archive_name: str, work: Path, progress: Progress) -> None:
    """Extract an archive and check its members. Raises LibraryDamaged and LibraryVersionMismatch."""
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            members = tar.getmembers()
            if not members or members[-1].name != MANIFEST or not members[-1].isfile():
                raise LibraryDamaged(f"{archive_name} is not a complete backup of clew.")
            digests = {}
            for number, member in enumerate(members):
                progress("restore", number, len(members))
                if member.name != MANIFEST:
                    digests[member.name] = _extract_member(tar, member, work)
            manifest = tar.extractfile(members[-1])
            expected = _listed_digests(manifest.read() if manifest else b"", archive_name)
    except (tarfile.TarError, KeyError, ValueError, OverflowError, EOFError) as error:
        raise LibraryDamaged(f"{archive_name} is not a readable backup: {error}.") from error
    wrong = [name for name in {**expected, **digests} if expected.get(name) != digests.get(name)]
    if wrong or CATALOG_FILE not in digests:
        raise LibraryDamaged(
            f"{archive_name} is damaged: {printable(', '.join(wrong) or CATALOG_FILE)}. Use another backup."
        )


def _listed_digests(manifest: bytes, archive_name: str) -> dict[str, str]:
    """Return member name -> SHA-256 of a manifest. Raises LibraryDamaged and LibraryVersionMismatch."""
    try:
        listed = json.loads(manifest)
        if str(listed["format"]) != FORMAT:
            raise LibraryVersionMismatch(f"Another version of clew made {archive_name}. Upgrade clew.")
        return {str(member["name"]): str(member["sha256"]) for member in listed["members"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LibraryDamaged(f"{archive_name} is damaged: its list of members is invalid.") from error


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, work: Path) -> str:
    """Write and sync a member, and return its SHA-256. Raises LibraryDamaged."""
    source = tar.extractfile(member) if member.isfile() else None  # not a link
    folder, _, name = member.name.rpartition("/")
    if source is None or folder not in ("", INDEX_FOLDER) or name in ("", ".", ".."):
        raise LibraryDamaged(f"The backup contains {printable(member.name)}, which is not of a library.")
    target, sha256 = work / folder / name, hashlib.sha256()
    target.parent.mkdir(exist_ok=True)
    with target.open("wb") as file:
        while data := source.read(COPY_BYTES):
            sha256.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.utime(target, (member.mtime, member.mtime))
    return sha256.hexdigest()


def _counts(work: Path, archive_name: str) -> tuple[int, int]:
    """Return the number of files and segments of an extracted library, of this or an earlier version.

    Raises LibraryDamaged and LibraryVersionMismatch.
    """
    try:
        with closing(sqlite3.connect(work / CATALOG_FILE)) as db:
            if {row[0] for row in db.execute(APPLIED_MIGRATIONS)} - MIGRATIONS.keys():
                raise LibraryVersionMismatch(f"A newer version of clew made {archive_name}. Upgrade clew.")
            return library_counts(db)
    except sqlite3.DatabaseError as error:
        raise LibraryDamaged(f"The catalog in the backup cannot be read: {error}.") from error


def _move(work: Path, folder: Path) -> None:
    """Move a restored library to an empty or new folder."""
    _sync(work)
    if folder.exists():
        folder.rmdir()
    work.rename(folder)
    sync(folder.parent)


def _exchange(work: Path, folder: Path) -> Path:
    """Exchange a library for a restored one, at once, and return the new path of the old one.

    The restored one first gets the name that the old one keeps, so that the exchange is the last step: an
    error or a kill leaves the old one in its place, or under that name.
    """
    _sync(work)
    kept = _unused_name(folder)
    work.rename(kept)
    try:
        exchange_folders(folder, kept)
    except OSError:
        with suppress(FileNotFoundError):
            kept.rename(work)  # nothing was exchanged
        raise
    sync(folder.parent)
    return kept


def _unused_name(folder: Path) -> Path:
    """Return an unused path next to a library, with the time in its name."""
    name = f"{folder.name}.replaced-{datetime.now():%Y%m%d-%H%M%S}"
    numbered = (folder.with_name(f"{name}-{number}") for number in count(2))
    return next(path for path in chain([folder.with_name(name)], numbered) if not path.exists())


def _sync(work: Path) -> None:
    work.chmod(0o755)
    for path in (work, work / INDEX_FOLDER):
        if path.exists():
            sync(path)
