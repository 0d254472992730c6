"""A folder whose durable operations are replayed, so that a power loss can be applied.

Synced data are on the disk. Data and names of files that were written since are on it, or not, or in part: a
disk writes in any order, in sectors. The name of a file is synced with its folder (POSIX), not with the file.
"""

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.faults.record import Kind, Operation

SECTOR_BYTES = (512, 4_096)


@dataclass(frozen=True, slots=True)
class Policy:
    """Which unsynced operations a power loss keeps: shares from 0 to 1."""

    name: str
    data: float
    names: float
    torn: float = 0.0  # of the kept writes


@dataclass(eq=False, slots=True)
class File:
    """The synced bytes of a file, and the writes and truncations since."""

    synced: bytes = b""
    pending: list[Operation] = field(default_factory=list)

    @property
    def data(self) -> bytes:
        """Return the bytes that a process sees."""
        return _written(self.synced, self.pending)


@dataclass(eq=False, slots=True)
class Folder:
    """The names in a folder: those that a process sees, and those on the disk."""

    names: "Names" = field(default_factory=dict)
    synced: "Names" = field(default_factory=dict)


Node = File | Folder
Names = dict[str, Node]
Change = tuple[tuple[Folder, str, Node | None], ...]  # names that are set or removed together


class Disk:
    """The parent folder of a library."""

    def __init__(self, base: Path, library: Path) -> None:
        """Read the files of the library `base`, which are synced, as those of `library`."""
        self.path, self.root = library.parent, Folder()
        self._by_inode, self._pending = dict[int, File](), list[Change]()
        for path in (base, *sorted(base.rglob("*"))):
            if path.exists() and not path.name.endswith("-shm"):
                folder, name = self._place(str(library / path.relative_to(base)))
                node = Folder() if path.is_dir() else File(path.read_bytes())
                folder.names[name] = folder.synced[name] = node

    def apply(self, operations: Sequence[Operation]) -> None:
        """Apply operations to what a process sees; a sync makes them durable."""
        for operation in operations:
            if operation.kind in (Kind.WRITE, Kind.TRUNCATE):
                self._file(operation).pending.append(operation)
            elif operation.kind == Kind.SYNC:
                self._sync(operation)
            elif operation.kind != Kind.MARK:
                change = self._change(operation)
                self._pending.append(change)
                for folder, name, node in change:
                    _set(folder.names, name, node)

    def _file(self, operation: Operation) -> File:
        """Return the file of an operation, which may have been renamed or deleted."""
        if operation.inode not in self._by_inode:
            folder, name = self._place(operation.path)
            file = folder.names[name]
            assert isinstance(file, File)
            self._by_inode[operation.inode] = file
        return self._by_inode[operation.inode]

    def _place(self, path: str) -> tuple[Folder, str]:
        """Return the folder of a path, and the name in it."""
        *parents, name = os.path.relpath(path, self.path).split("/")
        folder = self.root
        for parent in parents:
            node = folder.names[parent]
            assert isinstance(node, Folder)
            folder = node
        return folder, name

    def _sync(self, operation: Operation) -> None:
        folder, name = self._place(operation.path)
        node = folder if name == "." else folder.names.get(name)
        if not isinstance(node, Folder):
            file = self._file(operation)
            file.synced, file.pending = file.data, []
            return
        for change in [each for each in self._pending if _concerns(each, node)]:
            self._pending.remove(change)
            for changed, its_name, its_node in change:
                _set(changed.synced, its_name, its_node)

    def _change(self, operation: Operation) -> Change:
        """Return the change of names of an operation."""
        folder, name = self._place(operation.path)
        if operation.kind == Kind.CREATE:
            file = self._by_inode[operation.inode] = File()
            return ((folder, name, file),)
        if operation.kind == Kind.MKDIR:
            return ((folder, name, Folder()),)
        if operation.kind in (Kind.UNLINK, Kind.RMDIR):
            return ((folder, name, None),)
        other_folder, other_name = self._place(operation.other)
        node, other = folder.names[name], other_folder.names.get(other_name)
        if operation.kind == Kind.LINK:
            return ((other_folder, other_name, node),)
        exchanged = other if operation.is_exchange else None
        return (folder, name, exchanged), (other_folder, other_name, node)

    def write_after_loss(self, policy: Policy, random_: random.Random) -> None:
        """Write the folder as a power loss leaves it."""
        kept = dict[int, Names]()  # names of the folders that unsynced changes have reached
        for change in self._pending:
            if random_.random() < policy.names:
                for folder, name, node in change:
                    _set(kept.setdefault(id(folder), dict(folder.synced)), name, node)
        shutil.rmtree(self.path, ignore_errors=True)
        self._write(self.path, self.root, kept, policy, random_)

    def _write(
        self, path: Path, folder: Folder, kept: dict[int, Names], policy: Policy, random_: random.Random
    ) -> None:
        path.mkdir()
        for name, node in kept.get(id(folder), folder.synced).items():
            if isinstance(node, Folder):
                self._write(path / name, node, kept, policy, random_)
            else:
                writes = [each for each in node.pending if random_.random() < policy.data]
                parts = [part for each in writes for part in _torn(each, policy, random_)]
                (path / name).write_bytes(_written(node.synced, parts))

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the path and the bytes of each file that a process sees."""
        yield from _files(self.path, self.root)


def _files(path: Path, folder: Folder) -> Iterator[tuple[str, bytes]]:
    for name, node in folder.names.items():
        if isinstance(node, Folder):
            yield from _files(path / name, node)
        else:
            yield str(path / name), node.data


def _set(names: Names, name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _concerns(change: Change, folder: Folder) -> bool:
    return any(changed is folder for changed, _, _ in change)


def check_replay(disk: Disk, operations: Sequence[Operation]) -> None:
    """Raise RuntimeError if the operations of a record do not lead to the files of a folder."""
    disk.apply(operations)
    files = [path for path in disk.path.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    expected, replayed = {str(path): path.read_bytes() for path in files}, dict(disk.files())
    different = [name for name in {**expected, **replayed} if expected.get(name) != replayed.get(name)]
    if different:
        raise RuntimeError(f"These files were written by calls that are not interposed: {different}")


def _written(synced: bytes, operations: Sequence[Operation]) -> bytes:
    """Return the bytes of a file after writes and truncations."""
    data = bytearray(synced)
    for operation in operations:
        if operation.kind == Kind.TRUNCATE:
            del data[operation.size :]
            data.extend(bytes(operation.size - len(data)))
        else:
            end = operation.offset + len(operation.data)
            data.extend(bytes(max(0, end - len(data))))
            data[operation.offset : end] = operation.data
    return bytes(data)


def _torn(operation: Operation, policy: Policy, random_: random.Random) -> list[Operation]:
    """Return a write, or some of its sectors."""
    if operation.kind != Kind.WRITE or random_.random() >= policy.torn:
        return [operation]
    sector, parts = random_.choice(SECTOR_BYTES), []
    at, end = operation.offset, operation.offset + len(operation.data)
    while at < end:
        next_at = min(end, at - at % sector + sector)
        if random_.random() < 0.5:
            data = operation.data[at - operation.offset : next_at - operation.offset]
            parts.append(replace(operation, size=len(data), offset=at, data=data))
        at = next_at
    return parts
