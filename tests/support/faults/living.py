"""Kill the operations on one library at random moments, and compare it with a twin that no fault meets."""

import random
from pathlib import Path

from tests.support.faults import media
from tests.support.faults.fork_server import Outcome
from tests.support.faults.interpose import Fault
from tests.support.faults.sweep import KILLS
from tests.support.faults.workplace import (
    NO_FAULT,
    Findings,
    Plan,
    Tally,
    Workplace,
    copy_library,
    judge_check,
    judge_outcome,
    recover,
    state_or_empty,
)

# Operations, and how often each is chosen.
WEIGHTS = {
    "index": 8,
    "build": 2,
    "switch": 1,
    "switch_back": 1,
    "tag": 2,
    "untag": 1,
    "learn": 1,
    "unlearn": 1,
    "forget_folder": 1,
    "purge": 1,
    "drop_space": 1,
    "repair": 1,
}
FULL_KILLS = 1_000
MAX_KILLS_IN_A_ROW = 3
MAX_FILES = 60


def random_kills(workplace: Workplace, plan: Plan) -> Tally:
    """Kill operations until there are enough kills."""
    return LivingLibrary(workplace, plan).run()


class LivingLibrary:
    """A library that lives through all kills, and its twin."""

    def __init__(self, workplace: Workplace, plan: Plan) -> None:
        self.workplace, self.plan, self.random = workplace, plan, workplace.random("living")
        self.max_kills = max(plan.kills, FULL_KILLS) if plan.case else plan.kills
        self.twin, self.tally = workplace.folder / "twin" / "library", plan.tally()
        self.kills = self.steps = 0
        for name in ("main", "more"):
            media.add_files(workplace.media / name, self.random, 6)

    def run(self) -> Tally:
        """Run operations in random order, each killed a few times and then completed.

        A step depends only on the seed and its number. With a case of the plan, the run ends with its step,
        and the cases of the others are not counted.
        """
        while self.kills < self.max_kills and not (self.plan.case and self.tally.tried):
            self.steps += 1
            self.random = self.workplace.random("living", self.steps)
            operation = (
                "index" if self.steps == 1 else self.random.choices([*WEIGHTS], [*WEIGHTS.values()])[0]
            )
            if operation == "index":
                grow(self.workplace.media / "main", self.random)
            seconds = self.workplace.complete(operation, self.twin)
            extent = int(self.workplace.interposer.control.count), seconds
            checked = self.workplace.server.run("checks:check_completed", library=str(self.twin)).result
            self._run_step(operation, checked["contents"], extent)
        self.tally.notes.append(f"{self.steps} operations on one library")
        return self.tally

    def _run_step(self, operation: str, expected: dict[str, str], extent: tuple[int, float]) -> None:
        """Kill an operation up to three times, and complete it."""
        workplace, in_a_row = self.workplace, self.random.randint(1, MAX_KILLS_IN_A_ROW)
        for kill in range(1, in_a_row + 1):
            name = f"step {self.steps}, {operation}, kill {kill} of {in_a_row}"
            self.plan.progress(f"{self.kills} of {self.max_kills} kills: {name}")
            before = state_or_empty(workplace.library)
            description, outcome = self._kill(operation, *extent)
            self.kills += outcome.killed
            faulted = copy_library(workplace.library, workplace.folder / "faulted")
            allowed = workplace.reports.allowed(before)
            if kill == in_a_row:
                findings = recover(workplace, workplace.library, operation, allowed, expected)
            else:
                checked = workplace.server.run("checks:check", library=str(workplace.library), writes=False)
                findings = Findings(1, problems=[f"the check failed: {checked.output[-1500:]}"])
                if checked.completed:
                    findings = judge_check(checked.result, *allowed)
            findings.problems += judge_outcome(outcome)
            if findings.problems:
                findings.problems += [description, workplace.keep(faulted, name)]
            if self.plan.selects(name) and (outcome.killed or findings.problems):  # else it had ended before
                self.tally.add(name, findings)

    def _kill(self, operation: str, count: int, seconds: float) -> tuple[str, Outcome]:
        """Run an operation that is killed at a random time, or at a random durable operation."""
        at_operation, at, action = self.random.random() < 0.5, self.random.random(), self.random.choice(KILLS)
        library = self.workplace.library
        if at_operation:
            number = 1 + int(at * max(1, count))
            fault = Fault(action, number, number)
            return f"{fault} of {count}", self.workplace.run(operation, library, fault)
        after = at * 1.1 * seconds
        outcome = self.workplace.run(operation, library, NO_FAULT, signal_after=after)
        return f"killed after {after:.3f} of {seconds:.3f} s", outcome


def grow(folder: Path, random_: random.Random) -> None:
    """Change the media, and remove files if there are many."""
    media.change_files(folder, random_, 2)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) > MAX_FILES:
        for path in random_.sample(files, len(files) // 2):
            path.unlink()
