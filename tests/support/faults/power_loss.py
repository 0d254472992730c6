"""Rebuild the files of a library as a power loss leaves them, from a record of its durable operations.

Synced data are on the disk. Data and names of files that were written since are on it, or not, or in part: a
disk writes in any order, in sectors. The name of a file is synced with its folder (POSIX), not with the file.
"""

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.faults.record import Kind, Operation, read_record
from tests.support.faults.state import State
from tests.support.faults.sweep import Scenario, sample, scenarios
from tests.support.faults.workplace import (
    NO_FAULT,
    Findings,
    Plan,
    Tally,
    Workplace,
    copy_library,
    recover,
)

SECTOR_BYTES = (512, 4_096)
REPORTED_LOSS = "The end of the catalog's log was damaged"  # `verify` reports unsynced commits


@dataclass(frozen=True, slots=True)
class Policy:
    """Which unsynced operations a power loss keeps: shares from 0 to 1."""

    name: str
    data: float
    names: float
    torn: float = 0.0  # of the kept writes


POLICIES = (
    Policy("nothing unsynced is kept", 0.0, 0.0),
    Policy("unsynced names are kept", 0.0, 1.0),
    Policy("unsynced data are kept", 1.0, 0.0),
    Policy("half of each is kept", 0.5, 0.5),
    Policy("half of each is kept, in torn writes", 0.7, 0.7, 0.5),
)


@dataclass(eq=False, slots=True)
class File:
    """The synced bytes of a file, and the writes and truncations since."""

    synced: bytes = b""
    pending: list[Operation] = field(default_factory=list)


class Disk:
    """A folder whose operations are replayed, so that a power loss can be applied."""

    def __init__(self, base: Path, folder: Path) -> None:
        """Read the files of the library `base`, which are synced, as those of the library `folder`."""
        paths = [path for path in (base, *base.rglob("*")) if not path.name.endswith("-shm")]
        names = {path: str(folder / path.relative_to(base)) for path in paths}
        self.files = {name: File(path.read_bytes()) for path, name in names.items() if path.is_file()}
        self.folders = {str(folder.parent), *(name for path, name in names.items() if path.is_dir())}
        self.synced_files, self.synced_folders = dict(self.files), set(self.folders)
        self._root, self._by_inode = folder, dict[int, File]()
        self._pending_names: list[tuple[Operation, File | None]] = []

    def apply(self, operations: Sequence[Operation]) -> None:
        """Apply operations to what a process sees; a sync makes them durable."""
        for operation in operations:
            if operation.kind != Kind.MARK:
                self._apply(operation)

    def _apply(self, operation: Operation) -> None:
        path, file = operation.path, self._by_inode.get(operation.inode)
        if operation.kind == Kind.CREATE:
            file = self.files[path] = self._by_inode[operation.inode] = File()
            self._pending_names.append((operation, file))
        elif operation.kind in (Kind.WRITE, Kind.TRUNCATE):
            file = file or self.files[path]
            self._by_inode[operation.inode] = file
            file.pending.append(operation)
        elif operation.kind == Kind.SYNC:
            self._sync(path, file or self.files.get(path))
        else:
            moved = self.files.get(path)
            _rename(operation, moved, self.files, self.folders)
            self._pending_names.append((operation, moved))

    def _sync(self, path: str, file: File | None) -> None:
        if path not in self.folders:
            if file is not None:
                file.synced, file.pending = _written(file.synced, file.pending), []
            return
        for operation, moved in self._pending_names:
            if path in _parents(operation):
                _rename(operation, moved, self.synced_files, self.synced_folders)
        self._pending_names = [each for each in self._pending_names if path not in _parents(each[0])]

    def write_after_loss(self, policy: Policy, random_: random.Random) -> None:
        """Write the folder as a power loss leaves it."""
        files, folders = dict(self.synced_files), set(self.synced_folders)
        for operation, moved in self._pending_names:
            if random_.random() < policy.names:
                _rename(operation, moved, files, folders)
        shutil.rmtree(self._root.parent, ignore_errors=True)
        for folder in sorted(folders):
            Path(folder).mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            if os.path.dirname(name) in folders:
                kept = [
                    _torn(each, policy, random_) for each in file.pending if random_.random() < policy.data
                ]
                Path(name).write_bytes(_written(file.synced, [part for parts in kept for part in parts]))


def check_replay(disk: Disk, operations: Sequence[Operation], folder: Path) -> None:
    """Raise RuntimeError if the operations of a record do not lead to the files of a folder."""
    disk.apply(operations)
    files = [path for path in folder.parent.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    expected = {str(path): path.read_bytes() for path in files}
    replayed = {name: _written(file.synced, file.pending) for name, file in disk.files.items()}
    different = [name for name in {**expected, **replayed} if expected.get(name) != replayed.get(name)]
    if different:
        raise RuntimeError(f"These files were written by calls that are not interposed: {different}")


def _parents(operation: Operation) -> set[str]:
    """Return the folders whose entries an operation changes."""
    return {os.path.dirname(name) for name in (operation.path, operation.other) if name}


def _rename(operation: Operation, moved: File | None, files: dict[str, File], folders: set[str]) -> None:
    """Apply a change of names; `moved` is the file that had the name."""
    kind, path, other = operation.kind, operation.path, operation.other
    if kind == Kind.MKDIR:
        folders.add(path)
    elif kind == Kind.RMDIR:
        folders.discard(path)
    elif kind == Kind.UNLINK:
        files.pop(path, None)
    elif moved is not None:
        if kind == Kind.RENAME:
            files.pop(path, None)
        files[path if kind == Kind.CREATE else other] = moved


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


def power_losses(workplace: Workplace, plan: Plan) -> Tally:
    """Lose power after durable operations of each operation."""
    tally, undone = plan.tally(), list[int]()
    for scene in scenarios(workplace):
        if scene.operation == "restore":  # it exchanges folders, which `Disk` does not replay
            continue
        tally.add_all(power_loss_runs(workplace, plan, scene, plan.limit(4, 400), undone))
    counts = f"{sum(map(bool, undone))} of {len(undone)} undid commits, at most {max(undone, default=0)}"
    tally.notes.append(f"{counts}; none of an operation that had ended")
    return tally


def power_loss_runs(
    workplace: Workplace, plan: Plan, scene: Scenario, limit: int | None, undone: list[int]
) -> Iterator[tuple[str, Findings]]:
    """Lose power after operations, at most `limit` of them; yield the name and findings of each case.

    How many commits each has undone is added to `undone`.
    """
    library, record = workplace.renew(scene.base), workplace.new_record()
    workplace.run(scene.operation, library, NO_FAULT, record=record)
    operations, states = list(read_record(record)), [scene.before, *workplace.reports.committed()]
    ends = [at for at, each in enumerate(operations, 1) if each.kind != Kind.MARK]
    check_replay(Disk(scene.base, library), operations, library)
    random_ = workplace.random("power", scene.name)
    points = sample(random_, [(end, policy) for end in ends for policy in POLICIES], limit)
    points = [*points, (ends[-1], POLICIES[0])]  # what a command has reported must be on the disk
    for at, (end, policy) in enumerate(points):
        name = f"{scene.name}, power loss after operation {ends.index(end) + 1}, {policy.name}"
        if plan.case not in name:
            continue
        plan.progress(f"{at + 1} of {len(points)}: {name}")
        disk = Disk(scene.base, library)
        disk.apply(operations[:end])
        disk.write_after_loss(policy, workplace.random(name))
        commits = sum(each.kind == Kind.MARK for each in operations[:end])
        findings, lost_commits = _judge(workplace, scene, states[: commits + 2], commits)
        if end == ends[-1] and lost_commits:
            findings.lost += lost_commits
            findings.problems.append(f"{lost_commits} commits of a completed operation are lost")
        undone.append(lost_commits)
        if findings.problems:
            findings.problems.append(workplace.keep(workplace.folder / "faulted", name))
        yield name, findings


def _judge(
    workplace: Workplace, scene: Scenario, states: Sequence[State], commits: int
) -> tuple[Findings, int]:
    """Return the findings of a library after a power loss, and how many commits it has undone."""
    faulted = copy_library(workplace.library, workplace.folder / "faulted")
    checked = workplace.server.run("checks:check", library=str(faulted), writes=False)
    digests = [state.digest for state in states]
    found = checked.result["state"]["digest"] if checked.completed else ""
    undone = commits - (len(digests) - 1 - digests[::-1].index(found)) if found in digests else 0
    allowed = states[max(0, commits - undone)], states
    copy_library(workplace.library, workplace.folder / "faulted")
    findings = recover(workplace, workplace.library, scene.operation, allowed, scene.contents, scene.damage)
    findings.problems = [problem for problem in findings.problems if REPORTED_LOSS not in problem]
    return findings, max(0, undone)
