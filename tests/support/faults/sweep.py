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

KILLS = (Action.KILL_BEFORE, Action.KILL_WITHIN, Action.KILL_AFTER)
ERRORS = (errno.ENOSPC, errno.EIO)
Faults = Callable[[random.Random, int, int | None], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """An operation, the library before it, and what it does without a fault."""

    name: str
    operation: str
    base: Path
    before: State
    count: int  # durable operations
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


def scenarios(workplace: Workplace) -> Iterator[Scenario]:
    """Yield the operations, each with a library on which it has much to do."""
    bases = workplace.folder / "bases"
    old, new = make_media(workplace)

    def base(name: str, start: str, *operations: str) -> Path:
        library = copy_library(bases / start, bases / name)
        for operation in operations:
            workplace.complete(operation, library)
        return library

    workplace.use_media(old)
    filled = base("filled", "none", "index", "tag", "learn", "switch", "switch_back")
    yield make_scenario(workplace, "first index", "index", bases / "none")
    for operation in ("build", "tag", "untag", "learn", "unlearn", "forget_folder", "purge", "drop_space"):
        yield make_scenario(workplace, operation, operation, filled)
    damaged = base("damaged", "filled")
    next((damaged / "indexes").iterdir()).unlink()
    (damaged / "thumbnails.sqlite").unlink()
    yield make_scenario(workplace, "repair", "repair", damaged)
    workplace.use_media(new)
    yield make_scenario(workplace, "index", "index", filled)
    yield make_scenario(workplace, "switch", "switch", base("changed", "filled", "index"))


def make_scenario(workplace: Workplace, name: str, operation: str, base: Path) -> Scenario:
    """Run an operation without a fault, and return what it does. Raises RuntimeError if it has problems."""
    library = copy_library(base, workplace.library)
    before = state_or_empty(library)
    damage = workplace.server.run("checks:check", library=str(library)).result["problems"]
    workplace.complete(operation, library)
    count = int(workplace.interposer.control.count)
    checked = workplace.server.run("checks:check_completed", library=str(library)).result
    if problems := checked["problems"] + checked["orphans"]:
        raise RuntimeError(f"{operation} without a fault: {problems}")
    return Scenario(name, operation, base, before, count, checked["contents"], damage)


def kills(random_: random.Random, count: int, limit: int | None) -> Iterator[Fault]:
    """Yield kills before, within and after each durable operation, or some of them."""
    points = [(number, action) for number in range(1, count + 1) for action in KILLS]
    for number, action in sorted(sample(random_, points, limit)):
        yield Fault(action, number, number)


def write_errors(random_: random.Random, count: int, limit: int | None) -> Iterator[Fault]:
    """Yield failures of one operation, and of all from one on, by a full disk and by a broken one."""
    points = [
        (number, error, action, last)
        for number in range(1, count + 1)
        for error in ERRORS
        for action, last in ((Action.FAIL, number), (Action.FAIL, NO_LIMIT), (Action.SHORT, number))
    ]
    for number, error, action, last in sorted(sample(random_, points, limit)):
        yield Fault(action, number, last, error)


def sample(random_: random.Random, points: Sequence[Any], limit: int | None) -> Sequence[Any]:
    """Return all points, or that many of them."""
    return points if limit is None or limit >= len(points) else random_.sample(points, limit)


def run_case(workplace: Workplace, scene: Scenario, fault: Fault, name: str, *, verify: bool) -> Findings:
    """Run an operation with a fault, check the library, and complete the operation."""
    library = copy_library(scene.base, workplace.library)
    outcome = workplace.run(scene.operation, library, fault)
    faulted = copy_library(library, workplace.folder / "faulted")
    allowed = workplace.reports.allowed(scene.before)
    findings = recover(
        workplace, library, scene.operation, allowed, scene.contents, scene.damage, verify=verify
    )
    findings.problems += judge_outcome(outcome)
    if findings.problems:
        findings.problems.append(workplace.keep(faulted, name))
    return findings


def sweep(workplace: Workplace, plan: Plan, faults: Faults, limit: int | None) -> Tally:
    """Run each operation with faults, at most `limit` of them for each."""
    tally = Tally()
    for scene in scenarios(workplace):
        random_ = workplace.random("faults", faults.__name__, scene.name)
        cases = [(f"{scene.name}, {fault}", fault) for fault in faults(random_, scene.count, limit)]
        cases = [(name, fault) for name, fault in cases if plan.case in name]
        for at, (name, fault) in enumerate(cases):
            plan.progress(f"{at + 1} of {len(cases)}: {name}")
            tally.add(name, run_case(workplace, scene, fault, name, verify=at % 2 == 0))
    return tally


def kill_points(workplace: Workplace, plan: Plan) -> Tally:
    """Kill each operation before, within and after its durable operations."""
    return sweep(workplace, plan, kills, plan.limit(9))


def failed_writes(workplace: Workplace, plan: Plan) -> Tally:
    """Fail the durable operations of each operation, as full and broken disks do."""
    return sweep(workplace, plan, write_errors, plan.limit(7, 400))
