"""Open object stores through fsspec."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from retrieval.errors import ClewError, ExtraMissing, QueryError, first_line
from retrieval.file_systems import REMOTE_PATH

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

NANOSECONDS = 10**9
EXTRAS = {"s3": "ray", "s3a": "ray", "gs": "gcs", "gcs": "gcs"}  # by protocol
TIME_FIELDS = ("mtime", "LastModified", "last_modified", "updated", "created")  # of fsspec's file systems


class StoreError(ClewError):
    """An object store that does not answer; a work item that raises it is done again."""


def is_url(text: str) -> bool:
    """Return True for a URL, except for one of a local file."""
    return REMOTE_PATH.match(text) is not None and not text.startswith("file:")


def open_store(url: str) -> tuple["AbstractFileSystem", str]:
    """Return the file system of a URL, and the path in it. Raises QueryError and ExtraMissing."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ExtraMissing("An object store", "ray") from error
    try:
        store, path = url_to_fs(url)
    except ImportError as error:  # of the package for this protocol
        if extra := EXTRAS.get(url.partition("://")[0].lower()):
            raise ExtraMissing(f"The object store of {url}", extra) from error
        raise QueryError(f"Cannot open {url}: {first_line(error)}.") from error
    except Exception as error:  # an unknown protocol; each store has its own
        raise QueryError(f"Cannot open {url}: {first_line(error)}.") from error
    return store, str(path).rstrip("/")


@contextmanager
def store_errors(action: str, kept: tuple[type[Exception], ...] = (FileNotFoundError,)) -> Iterator[None]:
    """Raise StoreError, "Cannot {action}: ...", for the errors of an object store other than `kept`."""
    try:
        yield
    except ClewError:
        raise
    except kept:
        raise
    except Exception as error:  # each store has its own
        raise StoreError(f"Cannot {action}: {first_line(error)}.") from error


def list_objects(store: "AbstractFileSystem", path: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield path, size and modification time in nanoseconds of the objects below a path, in any order.

    Raises StoreError if the store does not answer; a path that does not exist has no objects.
    """
    store.invalidate_cache()
    try:
        with store_errors(f"list {path}"):
            found = store.find(path, detail=True)
    except FileNotFoundError:  # a bucket
        return
    for name, info in found.items():
        yield os.fsencode(name), int(info.get("size") or 0), modification_time(info)


def modification_time(info: dict[str, Any]) -> int:
    """Return the modification time of an object in nanoseconds; 0 if its store has none."""
    value = next((info[name] for name in TIME_FIELDS if info.get(name) is not None), 0)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return int(value.timestamp()) * NANOSECONDS + value.microsecond * 1_000
    return int(value * NANOSECONDS)


def download(url: str) -> BinaryIO:
    """Return an object as a local file, which is deleted when it is closed.

    Raises FileNotFoundError and PermissionError, and StoreError if the store does not answer.
    """
    descriptor, name = tempfile.mkstemp(prefix="clew-")
    os.close(descriptor)
    path = Path(name)
    try:
        copy_to(url, path)
        return path.open("rb")
    finally:
        path.unlink(missing_ok=True)


def copy_to(url: str, target: Path) -> None:
    """Copy an object into a file; raises as `download` does."""
    store, path = open_store(url)
    with store_errors(f"read {url}", kept=(FileNotFoundError, PermissionError)):
        store.get_file(path, str(target))
