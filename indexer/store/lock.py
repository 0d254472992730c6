"""One writer at a time; a second one is told who holds the library."""

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
    """Hold the library's lock, which the system lets go of even at kill -9; raises LibraryBusy."""
    holder = folder / f"{LOCK_FILE}ed-by"  # beside the lock, which opening it for locking empties
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
        raise LibraryError(f"The library at {folder} cannot be written: {error}.") from error
    try:
        now = datetime.now().isoformat(" ", "seconds")
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
