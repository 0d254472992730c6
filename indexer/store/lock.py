"""Lock a library, so that it has one writer at a time."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from retrieval.catalog.schema import LOCK_FILE
from retrieval.errors import LibraryBusy, LibraryError


@contextmanager
def library_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a library. The system releases it even after kill -9. Raises LibraryBusy."""
    holder = folder / f"{LOCK_FILE}ed-by"  # another file, because opening the lock file truncates it
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        try:
            name = holder.read_text()
        except FileNotFoundError:
            name = "another process"
        raise LibraryBusy(folder, name.strip()) from error
    except (OSError, NotImplementedError) as error:
        raise LibraryError(f"Cannot write the library at {folder}: {error}.") from error
    try:
        now = datetime.now().isoformat(" ", "seconds")
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
