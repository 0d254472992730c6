"""Read and write the folder or object store of the shards."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from indexer.distributed.remote import copy_to, is_url, open_store, store_errors
from indexer.store.durability.durable_files import sync
from retrieval.errors import ClewError, QueryError, first_line

TEMPORARY_PREFIX = ".clew-tmp-"
SHARD_NAME = re.compile(r"(\d{8}(?:\.[01]+)?)-[0-9a-f]{16}\.parquet")
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # errors of all further writes, as is PermissionError


class FolderUnwritable(ClewError):
    """A folder that is full or may not be written, so that the run cannot write any shard."""


class ShardFolder:
    """A folder, or a URL of an object store. A file in it appears when it is complete."""

    def __init__(self, location: str | Path) -> None:
        text = str(location)
        self.is_remote = is_url(text)
        self.location = text.rstrip("/") if self.is_remote else os.path.abspath(os.path.expanduser(text))

    def prepare(self) -> None:
        """Create the folder, and delete the temporary files of a run that was killed. Raises QueryError."""
        if self.is_remote:
            return
        folder = Path(self.location)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.delete_temporary_files()
        except OSError as error:
            raise QueryError(f"Cannot write {folder}: {error.strerror}.") from error

    def delete_temporary_files(self) -> None:
        """Delete the files of processes that were killed; no other may be running. Raises OSError."""
        if not self.is_remote:
            for path in Path(self.location).glob(f"{TEMPORARY_PREFIX}*"):
                path.unlink(missing_ok=True)

    def names(self) -> set[str]:
        """Return the names of the files. Raises OSError and StoreError."""
        if not self.is_remote:
            with suppress(FileNotFoundError, NotADirectoryError):
                return set(os.listdir(self.location))
            return set()
        store, path = open_store(self.location)
        store.invalidate_cache()
        with suppress(FileNotFoundError), store_errors(f"list {self.location}"):
            return {str(name).rpartition("/")[2] for name in store.ls(path, detail=False)}
        return set()

    def shard_names(self) -> list[str]:
        """Return the names of the shards, in order."""
        return sorted(name for name in self.names() if SHARD_NAME.fullmatch(name))

    @contextmanager
    def new_file(self, name: str) -> Iterator[Path]:
        """Yield a temporary path to write; then the file is synced and renamed, or uploaded at once.

        A killed process leaves a temporary file. Raises FolderUnwritable, other OSErrors, and StoreError.
        """
        folder = tempfile.gettempdir() if self.is_remote else self.location
        with _unwritable_errors(folder):
            descriptor, temporary = tempfile.mkstemp(prefix=f"{TEMPORARY_PREFIX}{name}-", dir=folder)
            os.close(descriptor)
            path = Path(temporary)
            try:
                yield path
                if self.is_remote:
                    self._upload(path, name)
                else:
                    path.chmod(0o644)
                    sync(path)
                    path.replace(Path(self.location, name))
                    sync(Path(self.location))
            finally:
                path.unlink(missing_ok=True)

    def _upload(self, path: Path, name: str) -> None:
        store, target = open_store(self.location)
        with (
            _unwritable_errors(self.location),
            store_errors(f"write {self.location}/{name}", (PermissionError,)),
        ):
            store.put_file(str(path), f"{target}/{name}")

    @contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        """Yield the local path of a file, or of a copy. Raises StoreError."""
        if not self.is_remote:
            yield Path(self.location, name)
            return
        with tempfile.TemporaryDirectory(prefix="clew-") as folder:
            copy, url = Path(folder, name), f"{self.location}/{name}"
            with store_errors(f"read {url}", ()):
                copy_to(url, copy)
            yield copy

    def delete(self, name: str) -> None:
        """Delete a file. Raises OSError and StoreError."""
        if self.is_remote:
            store, path = open_store(self.location)
            with store_errors(f"delete {self.location}/{name}", ()):
                store.rm_file(f"{path}/{name}")
        else:
            Path(self.location, name).unlink(missing_ok=True)


@contextmanager
def _unwritable_errors(place: str) -> Iterator[None]:
    """Raise FolderUnwritable for an OSError of writing into a place that is full or may not be written."""
    try:
        yield
    except OSError as error:
        is_elsewhere = error.filename is not None and not str(error.filename).startswith(place)
        if is_elsewhere or not (isinstance(error, PermissionError) or error.errno in UNWRITABLE):
            raise
        reason = os.strerror(error.errno) if error.errno else first_line(error)
        raise FolderUnwritable(
            f"Cannot write {place}: {reason}. Free space there or correct its permissions; then the same "
            "command resumes."
        ) from error
