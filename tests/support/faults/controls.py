"""Run the checks over the naive order of writes: they must detect losses, else they prove nothing."""

import errno
import random
from collections.abc import Iterator

from tests.support.faults.interpose import Action, Fault
from tests.support.faults.power_loss import power_loss_runs
from tests.support.faults.sweep import (
    Scenario,
    faulted_runs,
    fill_library,
    kills,
    kills_after_commits,
    make_media,
    make_scenario,
    sample,
)
from tests.support.faults.workplace import Findings, Plan, Tally, Workplace

MAX_CASES, ENOUGH_DETECTIONS = 60, 3  # of each control


def short_writes(random_: random.Random, scene: Scenario, limit: int | None) -> Iterator[Fault]:
    """Yield short writes."""
    for number in sample(random_, range(1, scene.count + 1), limit):
        yield Fault(Action.SHORT, number, number, errno.ENOSPC)


def controls(workplace: Workplace, plan: Plan) -> Tally:
    """Count the cases of each control; `survived` are those in which the checks detect a loss."""
    tally, (old, _) = Tally(), make_media(workplace)
    filled = fill_library(workplace, old)
    new = filled.with_name("none")
    for operation, base, faults in (
        ("vectors_in_second_transaction", new, kills_after_commits),
        ("index_files_in_place", filled, kills),
        ("index_files_in_place", filled, short_writes),
        ("index_files_not_synced", filled, None),
    ):
        title = f"{'power losses' if faults is None else faults.__name__}, {operation}".replace("_", " ")
        scene = make_scenario(workplace, title, operation, base)
        if faults is None:
            cases = power_loss_runs(workplace, plan, scene, MAX_CASES, [])
        else:
            cases = faulted_runs(workplace, plan, scene, faults, MAX_CASES)
        count_detections(tally, title, cases)
    return tally


def count_detections(tally: Tally, title: str, cases: Iterator[tuple[str, Findings]]) -> None:
    """Count the cases of a control until enough are detected. It has failed if none is."""
    tried, detected = 0, 0
    for _, findings in cases:
        tried += 1
        detected += bool(findings.problems)
        if detected == ENOUGH_DETECTIONS:
            break
    tally.tried += tried
    tally.survived += detected
    tally.notes.append(f"{title}: {detected} of {tried} detected")
    if not detected:
        tally.failures.append((title, "no loss is detected, so the checks prove nothing"))
