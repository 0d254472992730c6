"""Run each operation with a fault at its durable operations: a kill, or a write that fails."""

import errno
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.faults import media
from tests.support.faults.interpose import NO_LIMIT, Action, Fault
from tests.support.faults.operations import BACKUP
from tests.support.faults.record import Kind, read_record
from tests.support.faults.state import State
from tests.support.faults.workplace import (
    Findings,
    Plan,
    Tally,
    Workplace,
    copy_library,
    judge_outcome,
    recover,
    state_or_empty,
)

VERSIONS = ("0.1-first", "0.1", "0.2-release", "0.2", "0.3-release", "0.3", "0.4")
ON_FILLED_LIBRARY = (
    "build",
    "tag",
    "untag",
    "learn",
    "unlearn",
    "forget_folder",
    "purge",
    "drop_space",
    "watch",
    "backup",
)
KILLS = (Action.KILL_BEFORE, Action.KILL_WITHIN, Action.KILL_AFTER)
ERRORS = (errno.ENOSPC, errno.EIO)
Faults = Callable[[random.Random, "Scenario", int | None], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """An operation, the library before it, and what it does without a fault."""

    name: str
    operation: str
    base: Path
    before: State
    count: int  # durable operations
    commits: Sequence[int]  # how many of them came before each commit
    after: State
    contents: dict[str, str]  # of the library after it
    damage: Sequence[str]  # problems of the library before it


def make_media(workplace: Workplace) -> tuple[Path, Path]:
    """Create folders of media, and a changed copy of them."""
    old, new, random_ = workplace.folder / "media-1", workplace.folder / "media-2", workplace.random("media")
    media.add_files(old / "main", random_, 9)
    media.add_files(old / "more", random_, 4)
    shutil.copytree(old, new)
    media.change_files(new / "main", random_, 2)
    return old, new


def fill_library(workplace: Workplace, old: Path) -> Path:
    """Put media in their place, and return a library of them with two spaces, labels and a concept."""
    workplace.use_media(old)
    return make_base(workplace, "filled", "none", "index", "tag", "learn", "switch", "switch_back")


def make_base(workplace: Workplace, name: str, start: str, *operations: str) -> Path:
    """Copy a base, and run operations on the copy."""
    bases = workplace.folder / "bases"
    library = copy_library(bases / start, bases / name)
    for operation in operations:
        workplace.complete(operation, library)
    return library


def scenarios(workplace: Workplace) -> Iterator[Scenario]:
    """Yield the operations, each with a library on which it has much to do."""
    old, new = make_media(workplace)
    filled = fill_library(workplace, old)
    yield make_scenario(workplace, "first index", "index", filled.with_name("none"))
    yield make_scenario(workplace, "adopt", "adopt", filled.with_name("none"))
    for operation in ON_FILLED_LIBRARY:
        yield make_scenario(workplace, operation, operation, filled)
    workplace.complete("backup", filled)
    shutil.move(filled.with_name(BACKUP), workplace.media / BACKUP)
    yield make_scenario(workplace, "restore", "restore", make_base(workplace, "untagged", "filled", "untag"))
    damaged = make_base(workplace, "damaged", "filled")
    next((damaged / "indexes").iterdir()).unlink()
    (damaged / "thumbnails.sqlite").unlink()
    yield make_scenario(workplace, "repair", "repair", damaged)
    workplace.use_media(new)
    yield make_scenario(workplace, "index", "index", filled)
    yield make_scenario(workplace, "switch", "switch", make_base(workplace, "changed", "filled", "index"))


def old_libraries(workplace: Workplace) -> Iterator[Scenario]:
    """Yield the migration of the library of each released version."""
    for version in VERSIONS:
        shutil.rmtree(workplace.media, ignore_errors=True)
        workplace.server.run("operations:unpack_old_library", version=version, folder=str(workplace.media))
        base = workplace.folder / "bases" / version
        shutil.move(workplace.media / "library", base)
        yield make_scenario(workplace, f"library of {version}", "migrate", base)


def make_scenario(workplace: Workplace, name: str, operation: str, base: Path) -> Scenario:
    """Run an operation without a fault, and return what it does. Raises RuntimeError if it has problems."""
    library = workplace.renew(base)
    before = state_or_empty(library)
    damage = workplace.server.run("checks:check", library=str(library)).result["problems"]
    record = workplace.new_record()
    workplace.complete(operation, workplace.renew(base), record)
    commits = {each.number for each in read_record(record) if each.kind == Kind.MARK}
    count = int(workplace.interposer.control.count)
    checked = workplace.server.run("checks:check_completed", library=str(library)).result
    if problems := checked["problems"] + checked["orphans"]:
        raise RuntimeError(f"{operation} without a fault: {problems}")
    return Scenario(
        name,
        operation,
        base,
        before,
        count,
        sorted(commits),
        State(**checked["state"]),
        checked["contents"],
        damage,
    )


def kills(random_: random.Random, scene: Scenario, limit: int | None) -> Iterator[Fault]:
    """Yield kills before, within and after each durable operation, or some of them."""
    points = [(number, action) for number in range(1, scene.count + 1) for action in KILLS]
    for number, action in sample(random_, points, limit):
        yield Fault(action, number, number)


def kills_after_commits(random_: random.Random, scene: Scenario, limit: int | None) -> Iterator[Fault]:
    """Yield kills before the first durable operation after a commit."""
    for number in sample(random_, scene.commits, limit):
        yield Fault(Action.KILL_BEFORE, number + 1, number + 1)


def write_errors(random_: random.Random, scene: Scenario, limit: int | None) -> Iterator[Fault]:
    """Yield failures of one operation, and of all from one on, by a full disk and by a broken one."""
    points = [
        (number, error, action, last)
        for number in range(1, scene.count + 1)
        for error in ERRORS
        for action, last in ((Action.FAIL, number), (Action.FAIL, NO_LIMIT), (Action.SHORT, number))
    ]
    for number, error, action, last in sample(random_, points, limit):
        yield Fault(action, number, last, error)


def sample(random_: random.Random, points: Sequence[Any], limit: int | None) -> Sequence[Any]:
    """Return all points, or that many of them in random order."""
    return points if limit is None else random_.sample(points, min(limit, len(points)))


def run_case(workplace: Workplace, scene: Scenario, fault: Fault, name: str, *, verify: bool) -> Findings:
    """Run an operation with a fault, check the library, and complete the operation."""
    library = workplace.renew(scene.base)
    outcome = workplace.run(scene.operation, library, fault)
    faulted = copy_library(library, workplace.folder / "faulted")
    committed, allowed = workplace.reports.allowed(scene.before)
    if scene.operation == "restore":  # it exchanges folders
        allowed.append(scene.after)
    findings = recover(
        workplace, library, scene.operation, (committed, allowed), scene.contents, scene.damage, verify=verify
    )
    findings.problems += judge_outcome(outcome)
    if findings.problems:
        findings.problems.append(workplace.keep(faulted, name))
    return findings


def faulted_runs(
    workplace: Workplace, plan: Plan, scene: Scenario, faults: Faults, limit: int | None
) -> Iterator[tuple[str, Findings]]:
    """Run an operation with faults, at most `limit` of them; yield the name and findings of each case."""
    random_ = workplace.random("faults", faults.__name__, scene.name)
    cases = [(f"{scene.name}, {fault}", fault) for fault in faults(random_, scene, limit)]
    cases = [(name, fault) for name, fault in cases if plan.selects(name)]
    for at, (name, fault) in enumerate(cases):
        plan.progress(f"{at + 1} of {len(cases)}: {name}")
        yield name, run_case(workplace, scene, fault, name, verify=at % 2 == 0)


def kill_points(workplace: Workplace, plan: Plan) -> Tally:
    """Kill each operation before, within and after its durable operations."""
    tally = plan.tally()
    for scene in scenarios(workplace):
        tally.add_all(faulted_runs(workplace, plan, scene, kills, plan.limit(5)))
        tally.add_all(faulted_runs(workplace, plan, scene, kills_after_commits, plan.limit(1)))
    return tally


def migrations(workplace: Workplace, plan: Plan) -> Tally:
    """Kill the migration of the library of each released version, and fail its writes."""
    tally = plan.tally()
    for scene in old_libraries(workplace):
        tally.add_all(faulted_runs(workplace, plan, scene, kills, plan.limit(2, 150)))
        tally.add_all(faulted_runs(workplace, plan, scene, write_errors, plan.limit(1, 50)))
    return tally


def failed_writes(workplace: Workplace, plan: Plan) -> Tally:
    """Fail the durable operations of each operation, as full and broken disks do."""
    tally = plan.tally()
    for scene in scenarios(workplace):
        tally.add_all(faulted_runs(workplace, plan, scene, write_errors, plan.limit(5, 400)))
    return tally
