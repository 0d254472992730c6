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
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # for a file replaced by a pipe
    try:
        _check_type(os.fstat(descriptor).st_mode)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_type(mode: int) -> None:
    if name := FILE_TYPE_NAMES.get(stat.S_IFMT(mode)):
        raise MediaError(f"not a regular file but {name}")
