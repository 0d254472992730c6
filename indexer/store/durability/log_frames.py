"""Read the pages in the write-ahead log of a SQLite database, and find commits that damage has cut off.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.store.durability.page_file import PageFile

_LOG_HEADER = struct.Struct(">IIII8sII")  # magic, version, page size, checkpoint, salts, checksums
_FRAME_HEADER = struct.Struct(">II8sII")  # page, pages of the database after a commit or 0, salts, checksums
_MAGIC = 0x377F0682  # plus 1 if the words of the checksums are big-endian
_HEADER_SUMMED, _FRAME_SUMMED = 24, 8  # bytes of the headers that the checksums include
_MASK = 0xFFFFFFFF
Checksum = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LogLoss:
    """The commits in a log that SQLite ignores, because a frame of them or before them is damaged."""

    commits: int
    frames: int  # pages, from the damaged one to the last commit


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


def log_loss(log: Path, database: PageFile) -> LogLoss | None:
    """Return the commits that SQLite will ignore in the log of a process that has ended, None if it has all.

    SQLite reads a log up to the first frame whose checksum is wrong, and does not report the rest. A commit
    after that frame was complete, so that it was damaged later, or a power loss has kept only a part. A log
    whose pages are in the database has lost nothing.
    """
    frames = list(_ignored_frames(log, database.page_size))
    ends = [number for number, (_, is_commit, _) in enumerate(frames, 1) if is_commit]
    if not ends:
        return None
    intact = frames[1 : ends[-1]] or frames[:1]
    pages = {page: content for page, _, content in intact if page}  # 0 in a part that was never written
    if all(database.read(page) == content for page, content in pages.items()):
        return None
    return LogLoss(len(ends), ends[-1])


def _ignored_frames(log: Path, page_size: int) -> Iterator[tuple[int, bool, bytes]]:
    """Yield the page, whether it ends a commit, and the content of each frame from the first damaged one on.

    That frame may be one that a killed process was writing over an older one. It was not, if there was a
    commit in this log before, which has shortened it.
    """
    try:
        file = log.open("rb")
    except FileNotFoundError:
        return
    with file:
        header = file.read(_LOG_HEADER.size)
        if len(header) < _LOG_HEADER.size:
            return
        magic, _, known_page_size, _, salts, *sums = _LOG_HEADER.unpack(header)
        words = ">u4" if magic & 1 else "<u4"
        state = _checksum(np.frombuffer(header[:_HEADER_SUMMED], words), (0, 0))
        is_valid = magic & ~1 == _MAGIC and state == tuple(sums)  # up to here
        has_salts, size = is_valid, 0
        frame_size = _FRAME_HEADER.size + (known_page_size if is_valid else page_size)
        for number in count(1):
            if len(frame := file.read(frame_size)) < frame_size:
                return
            page, commit, frame_salts, *sums = _FRAME_HEADER.unpack_from(frame)
            content = frame[_FRAME_HEADER.size :]
            if is_valid and frame_salts == salts:
                state = _checksum(np.frombuffer(frame[:_FRAME_SUMMED] + content, words), state)
                if state == tuple(sums):
                    size = commit or size
                    continue
            if not has_salts:
                has_salts, salts = True, frame_salts
            is_end = commit > 0 and frame_salts == salts
            if is_valid:
                is_end = is_end and size > 0 and commit <= size + number
            is_valid = False
            yield page, is_end, content


def _checksum(words: NDArray[np.uint32], state: Checksum) -> Checksum:
    """Return the checksum of an even number of words, which continues that of the words before.

    SQLite's algorithm is t[k + 2] = t[k + 1] + t[k] + word[k] modulo 2 ** 32, so that each word is multiplied
    by a Fibonacci number.
    """
    count = len(words)
    fibonacci = _fibonacci(count + 2)
    values = words.astype(np.uint32)
    first = int((values * fibonacci[count - 1 :: -1][:count]).sum(dtype=np.uint32))
    second = int((values * fibonacci[count:0:-1]).sum(dtype=np.uint32))
    before, at, after = (int(fibonacci[count + offset]) for offset in (-1, 0, 1))
    return (
        (first + before * state[0] + at * state[1]) & _MASK,
        (second + at * state[0] + after * state[1]) & _MASK,
    )


@lru_cache(maxsize=4)
def _fibonacci(count: int) -> NDArray[np.uint32]:
    """Return the first Fibonacci numbers from 0, modulo 2 ** 32."""
    numbers = [0, 1]
    while len(numbers) < count:
        numbers.append((numbers[-1] + numbers[-2]) & _MASK)
    return np.array(numbers, np.uint32)
