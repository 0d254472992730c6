"""Replace files so that a crash leaves either the old or the new one."""

import ctypes
import os
import sys
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux, renameat2(2)
RENAME_SWAP = 2  # of macOS, renamex_np(2)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file of a locked library under a temporary name, sync it, rename it and sync its folder.

    The next call replaces a temporary file that a killed process has left. Raises OSError.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Write the data of a file, or the names in a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exchange_folders(first: Path, second: Path) -> None:
    """Exchange two folders at once; where the system cannot, in three steps. Raises OSError."""
    names = os.fsencode(first), os.fsencode(second)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, RENAME_SWAP)
        else:
            failed = libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    except AttributeError:  # an old C library
        failed = -1
    if failed:
        aside = first.with_name(f"{first.name}.exchange")
        first.rename(aside)
        try:
            second.rename(first)
        except OSError:
            aside.rename(first)
            raise
        aside.rename(second)
