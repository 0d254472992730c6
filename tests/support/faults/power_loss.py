"""Lose power after durable operations of each operation, and check what its library keeps."""

from collections.abc import Iterator, Sequence

from tests.support.faults.disk import Disk, Policy, check_replay
from tests.support.faults.record import Kind, read_record
from tests.support.faults.state import State
from tests.support.faults.sweep import Scenario, old_libraries, sample, scenarios
from tests.support.faults.workplace import (
    NO_FAULT,
    Findings,
    Plan,
    Tally,
    Workplace,
    copy_library,
    recover,
)

REPORTED_LOSS = "The end of the catalog's log was damaged"  # `verify` reports unsynced commits
POLICIES = (
    Policy("nothing unsynced is kept", 0.0, 0.0),
    Policy("unsynced names are kept", 0.0, 1.0),
    Policy("unsynced data are kept", 1.0, 0.0),
    Policy("half of each is kept", 0.5, 0.5),
    Policy("half of each is kept, in torn writes", 0.7, 0.7, 0.5),
)


def power_losses(workplace: Workplace, plan: Plan) -> Tally:
    """Lose power after durable operations of each operation."""
    tally, undone = plan.tally(), list[int]()
    for scene in scenarios(workplace):
        tally.add_all(power_loss_runs(workplace, plan, scene, plan.limit(4, 300), undone))
    for scene in old_libraries(workplace):
        tally.add_all(power_loss_runs(workplace, plan, scene, plan.limit(1, 100), undone))
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
    check_replay(Disk(scene.base, library), operations)
    random_ = workplace.random("power", scene.name)
    points = sample(random_, [(end, policy) for end in ends for policy in POLICIES], limit)
    points = [*points, (ends[-1], POLICIES[0])]  # what a command has reported must be on the disk
    for at, (end, policy) in enumerate(points):
        name = f"{scene.name}, power loss after operation {ends.index(end) + 1}, {policy.name}"
        if not plan.selects(name):
            continue
        plan.progress(f"{at + 1} of {len(points)}: {name}")
        disk = Disk(scene.base, library)
        disk.apply(operations[:end])
        disk.write_after_loss(policy, workplace.random(name))
        commits = sum(each.kind == Kind.MARK for each in operations[:end])
        if scene.operation == "restore":  # it exchanges folders
            states, commits = [scene.before, scene.after], int(end == ends[-1])
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
