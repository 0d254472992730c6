"""Read the pages in the write-ahead log of a SQLite database.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_LOG_HEADER = struct.Struct(">4sIII8sII")  # magic, version, page size, checkpoint, salts, checksums
_FRAME_HEADER = struct.Struct(">II8sII")  # page, pages of the database after a commit or 0, salts, checksums


def log_frames(log: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and content of each page in a log, oldest first.

    Frames after the last commit are included: how many are valid, only SQLite knows. SQLite holds no lock on
    the log, so that it may be opened and closed here.
    """
    try:
        file = log.open("rb")
    except FileNotFoundError:
        return
    with file:
        header = file.read(_LOG_HEADER.size)
        if len(header) < _LOG_HEADER.size:
            return
        _, _, page_size, _, salts, *_ = _LOG_HEADER.unpack(header)
        while len(frame := file.read(_FRAME_HEADER.size + page_size)) == _FRAME_HEADER.size + page_size:
            page, _, frame_salts, *_ = _FRAME_HEADER.unpack_from(frame)
            if frame_salts != salts:
                return
            yield page, frame[_FRAME_HEADER.size :]
