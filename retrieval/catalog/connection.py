"""Open the databases of a library read-only, also for readers who may not write to its folder.

SQLite reads a WAL database through a shared `-shm` file. Without write permission it cannot create that file,
which does not exist while no writer is running. Then a private copy of the database is read. A database on a
read-only file system is not copied: no process of this machine can change it through that mount.

On a network drive a private copy is read too: the `-shm` file is not shared between machines, and SQLite maps
it into memory.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from retrieval.catalog.migrations import MIGRATIONS
from retrieval.catalog.schema import APPLIED_MIGRATIONS, CATALOG_FILE
from retrieval.errors import LibraryError, LibraryMissing, LibraryVersionMismatch
from retrieval.file_systems import network_file_system

MAX_READ_ATTEMPTS = 3  # a writer may commit during each
MAX_COPY_ATTEMPTS = 5  # a writer may change the file while it is copied
FUNCTION_ERROR = "user-defined function raised exception"
LOG_HEADER_BYTES = 32  # with numbers that change whenever SQLite writes a log from its start
CANNOT_CREATE_SHM = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)

FileVersion: TypeAlias = tuple[tuple[int, int, int] | None, ...]  # (inode, bytes, mtime) of database and log

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
LibraryT = TypeVar("LibraryT", bound="OpenLibrary")


class InterruptibleConnection(sqlite3.Connection):
    """A connection that raises KeyboardInterrupt if Ctrl-C ended a Python function of a statement.

    `sqlite3` replaces every exception of such a function by one OperationalError. The functions of a catalog
    accept all values, so that only an interrupt ends them.
    """

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        """Run a statement."""
        try:
            return super().execute(*arguments)
        except sqlite3.OperationalError as error:
            _raise_interrupt(error)
            raise

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        """Run a statement for each of many rows."""
        try:
            return super().executemany(*arguments)
        except sqlite3.OperationalError as error:
            _raise_interrupt(error)
            raise


@dataclass(frozen=True, slots=True)
class ReadOnlyConnection:
    """An open database, and for one that does not follow its file, the version of the file that it shows."""

    db: sqlite3.Connection
    version: FileVersion | None = None


def connect_read_only(file: Path, *, follows_writer: bool = False) -> ReadOnlyConnection:
    """Open a database for use in any thread. Raises LibraryError and sqlite3.DatabaseError.

    `follows_writer` is for the process that writes it: a private copy would not show its commits.
    """
    if not follows_writer and network_file_system(file) is not None:
        return _open_snapshot(file, "it is on a network drive")
    try:
        return ReadOnlyConnection(_connect(file, "mode=ro"))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in CANNOT_CREATE_SHM:
            raise
        return _open_snapshot(file, "its folder is not writable")


def connect_once(file: Path) -> sqlite3.Connection:
    """Open a database for one query whose result the caller verifies, without copying it."""
    if network_file_system(file) is not None:
        return _connect(file, "mode=ro&immutable=1")
    try:
        return _connect(file, "mode=ro")
    except sqlite3.OperationalError:
        return _connect(file, "mode=ro&immutable=1")


def file_version(file: Path) -> FileVersion:
    """Return what changes whenever a writer commits: a commit extends the log or writes the database."""
    return tuple(map(_stat, (file, log_path(file))))


def _open_snapshot(file: Path, reason: str) -> ReadOnlyConnection:
    try:
        for _ in range(MAX_COPY_ATTEMPTS):
            version, log_header = file_version(file), _log_header(file)
            is_constant = bool(os.statvfs(file).f_flag & os.ST_RDONLY) and network_file_system(file) is None
            if is_constant and version[1] is None:
                return ReadOnlyConnection(_connect(file, "mode=ro&immutable=1"), version)
            with TemporaryDirectory(prefix="clew-", ignore_cleanup_errors=True) as folder:
                copy = _copy(file, Path(folder))
                # Commits that only extend the log do no harm.
                if _stat(file) == version[0] and _log_header(file) == log_header:
                    # The copy remains open after it is deleted, so that nothing is left behind.
                    return ReadOnlyConnection(_connect(copy, "mode=ro&immutable=1"), version)
    except OSError as error:
        raise LibraryError(
            f"Cannot read {file}: {error.strerror}. It is copied to {error.filename or 'a temporary folder'} "
            f"because {reason}."
        ) from error
    raise LibraryError(f"{file} is being written. Search again when `clew index` has ended.")


def _copy(file: Path, folder: Path) -> Path:
    """Copy a database and apply its log."""
    copy = folder / "copy.sqlite"
    shutil.copyfile(file, copy)
    if _stat(log_path(file)):
        shutil.copyfile(log_path(file), log_path(copy))
    db = sqlite3.connect(copy)
    try:
        db.execute("PRAGMA journal_mode = DELETE")
    finally:
        db.close()
    return copy


def _connect(file: Path, parameters: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{file.absolute().as_uri()}?{parameters}",
        uri=True,
        check_same_thread=False,
        factory=InterruptibleConnection,
    )
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()  # opens the log
    except BaseException:
        db.close()
        raise
    return db


def _raise_interrupt(error: sqlite3.OperationalError) -> None:
    if str(error) == FUNCTION_ERROR:
        raise KeyboardInterrupt from error


def _log_header(file: Path) -> bytes:
    """Return the start of a log, empty if there is none."""
    try:
        with log_path(file).open("rb") as log:
            return log.read(LOG_HEADER_BYTES)
    except FileNotFoundError:
        return b""


def log_path(file: Path) -> Path:
    """Return the path of the write-ahead log of a database."""
    return file.with_name(f"{file.name}-wal")


def _stat(path: Path) -> tuple[int, int, int] | None:
    """Return None for a file that is missing or empty, as a log that was applied."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns) if status.st_size else None


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Read one version of the catalog, unless another thread does so with this connection."""
    is_first = not db.in_transaction
    if is_first:
        db.execute("BEGIN")
    try:
        yield
    finally:
        if is_first:
            db.rollback()


class OpenLibrary(Protocol):
    """An object with a folder that tells when its catalog was replaced."""

    folder: Path

    def _is_replaced(self) -> bool:
        """Return True if the open catalog is not the one in the folder any more."""
        ...

    def _version(self) -> object:
        """Return a value that changes whenever another process has written."""
        ...

    def _snapshot(self) -> AbstractContextManager[None]:
        """Return a context in which all reads see the same version."""
        ...


def reads_catalog(
    method: Callable[Concatenate[LibraryT, Parameters], Result],
) -> Callable[Concatenate[LibraryT, Parameters], Result]:
    """Convert errors of SQLite to LibraryError; call again if another process wrote the catalog meanwhile.

    So no result mixes two versions, and an error that comes of such a mixture is not seen. A snapshot is only
    the last means: threads share the connection, so that overlapping calls could keep an old version for
    long.
    """

    @wraps(method)
    def read(self: LibraryT, /, *args: Parameters.args, **options: Parameters.kwargs) -> Result:
        try:
            for _ in range(MAX_READ_ATTEMPTS):
                version = self._version()
                try:
                    result = method(self, *args, **options)
                except Exception:
                    if self._version() == version and not self._is_replaced():
                        raise
                else:
                    if self._version() == version:
                        return result
            with self._snapshot():
                return method(self, *args, **options)
        except sqlite3.Error as error:
            raise LibraryError(
                f"Cannot read the library at {self.folder}: {error}. Run `clew verify` for details."
            ) from error

    return read


def connect_catalog(file: Path, *, follows_writer: bool) -> ReadOnlyConnection:
    """Open a catalog read-only. Raises LibraryMissing, LibraryError and LibraryVersionMismatch."""
    try:
        if not file.is_file():
            raise LibraryMissing(file.parent)
        return connect_read_only(file, follows_writer=follows_writer)
    except OSError as error:
        raise LibraryError(f"Cannot read {file}: {error.strerror}.") from error
    except sqlite3.OperationalError as error:
        raise LibraryVersionMismatch(f"Cannot read {file} as a library: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise LibraryVersionMismatch(f"{file} is not a clew library: {error}.") from error


def check_version(db: sqlite3.Connection, folder: Path) -> None:
    """Raise LibraryVersionMismatch unless the catalog has exactly the migrations of this version."""
    try:
        steps = {row[0] for row in db.execute(APPLIED_MIGRATIONS)}
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise LibraryMissing(folder) from error  # being created by another process
        raise LibraryVersionMismatch(f"Cannot read {folder / CATALOG_FILE} as a library: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise LibraryVersionMismatch(f"{folder / CATALOG_FILE} is not a clew library: {error}.") from error
    if steps - set(MIGRATIONS):
        raise LibraryVersionMismatch(f"A newer version of clew made the library at {folder}. Upgrade clew.")
    if set(MIGRATIONS) - steps:
        raise LibraryVersionMismatch(
            f"An older version of clew made the library at {folder}. Run `clew index` to upgrade it."
        )
