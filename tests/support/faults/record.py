"""Read the record that the interposer makes of durable operations and commits."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

RENAME_EXCHANGE = 2  # of renameat2(2)
_HEADER = struct.Struct("<IIIIQQQq")  # `struct header` in interpose.c is equal


class Kind(IntEnum):
    """A durable operation; `enum kind` in interpose.c is equal."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC = 4
    RENAME = 5
    UNLINK = 6
    MKDIR = 7
    RMDIR = 8
    LINK = 9
    MARK = 10  # of a committed transaction


@dataclass(frozen=True, slots=True)
class Operation:
    """A recorded operation."""

    kind: Kind
    number: int  # of durable operations so far
    path: str
    other: str  # the new name
    inode: int
    size: int
    offset: int  # of a write; of a rename, its flags
    data: bytes

    @property
    def is_exchange(self) -> bool:
        """Return True if a rename has exchanged two names."""
        return self.kind == Kind.RENAME and self.offset & RENAME_EXCHANGE != 0


def read_record(path: Path) -> Iterator[Operation]:
    """Yield the operations of a record."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        kind, path_size, other_size, _, number, inode, size, offset = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        ends = [at + path_size, at + path_size + other_size]
        ends.append(ends[1] + (size if kind == Kind.WRITE else 0))
        name, other = os.fsdecode(data[at : ends[0]]), os.fsdecode(data[ends[0] : ends[1]])
        yield Operation(Kind(kind), number, name, other, inode, size, offset, data[ends[1] : ends[2]])
        at = ends[2]
