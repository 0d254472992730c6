"""Open regular files only: a named pipe or a device can block a reader forever."""

import os
import stat
from io import BufferedReader

from retrieval.errors import MediaError

FILE_TYPE_NAMES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular_file(path: str | bytes) -> BufferedReader:
    """Open a file for reading; raises OSError, and MediaError if it is a pipe, a socket or a device."""
    _check_type(os.stat(path).st_mode)  # opening a device can have an effect
    file = open(path, "rb", opener=_open_without_blocking)  # noqa: SIM115 -- the caller closes it
    try:
        _check_type(os.fstat(file.fileno()).st_mode)
    except BaseException:
        file.close()
        raise
    return file


def _open_without_blocking(path: str | bytes, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)  # for a file that was replaced by a pipe


def _check_type(mode: int) -> None:
    if name := FILE_TYPE_NAMES.get(stat.S_IFMT(mode)):
        raise MediaError(f"not a regular file but {name}")
