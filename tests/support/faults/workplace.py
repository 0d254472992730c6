"""The folder of a part of the harness, the processes that work in it, and the counts of its cases."""

import random
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any

from tests.support.faults import media
from tests.support.faults.fork_server import ForkServer, Outcome
from tests.support.faults.interpose import Fault, Interposer
from tests.support.faults.state import EMPTY, Reports, State, read_state

NO_FAULT = Fault()
# How the message of an error may begin that ends an operation.
EXPECTED_ERRORS = ("sqlite3.OperationalError", "OSError", "PermissionError", "retrieval.errors.")


@dataclass(slots=True)
class Findings:
    """What is wrong after a case."""

    lost: int = 0  # committed segments, or tables with other rows
    duplicated: int = 0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Counts of one row of the table."""

    tried: int = 0
    survived: int = 0
    lost: int = 0
    duplicated: int = 0
    orphans: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)  # case and problem
    notes: list[str] = field(default_factory=list)
    on_failure: Callable[[str], None] = lambda line: None

    def add(self, name: str, findings: Findings) -> None:
        """Count a case."""
        self.tried += 1
        self.survived += not findings.problems
        self.lost += findings.lost
        self.duplicated += findings.duplicated
        self.orphans += findings.orphans
        self.failures += [(name, problem) for problem in findings.problems]
        if findings.problems:
            self.on_failure(f"FAILED: {name}: {findings.problems[0]}")

    def add_all(self, cases: "Iterable[tuple[str, Findings]]") -> None:
        """Count cases."""
        for name, findings in cases:
            self.add(name, findings)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much a part tries, and where it reports its progress."""

    seed: int
    full: bool
    kills: int  # at random moments
    case: str = ""  # try only the cases that it selects
    progress: Callable[[str], None] = lambda line: None
    failed: Callable[[str], None] = lambda line: None  # as progress, for failures

    def tally(self) -> Tally:
        """Return a tally that reports each failure at once."""
        return Tally(on_failure=self.failed)

    def limit(self, reduced: int, full: int | None = None) -> int | None:
        """Return the number of cases to try, None for all."""
        return None if self.case else full if self.full else reduced

    def selects(self, name: str) -> bool:
        """Return True if the name of a case contains the text, and no further digit: 15 is not in 157."""
        return re.search(f"{re.escape(self.case)}(?![0-9])", name) is not None

    def numbers(self, reduced: int, full: int) -> range:
        """Return the numbers of the cases that may be tried: with `case`, of those that its name fits."""
        return range(full if self.full or self.case else reduced)


class Workplace:
    """A temporary folder with a library and media, and a fork server."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Compile the interposer, and start the server with the modules of all operations."""
        self.folder, self.seed = folder, seed
        self.library, self.media = folder / "place" / "library", folder / "media"
        self.library.parent.mkdir()
        self.interposer = Interposer(folder)
        self.server = ForkServer(folder, self.interposer.environment())
        self.reports = Reports(folder / "reports")
        random_ = random.Random(0)
        for name in ("main", "more"):
            media.add_files(folder / "warm" / "media" / name, random_, 4)
        library = str(folder / "warm" / "library")
        self.server.warm_up("checks:warm_up", library=library, media=str(folder / "warm" / "media"))

    def close(self) -> None:
        """End the server."""
        self.server.close()

    def random(self, *keys: object) -> random.Random:
        """Return numbers that depend on the seed and on keys."""
        return random.Random(repr((self.seed, *keys)))

    def run(self, operation: str, library: Path, fault: Fault = NO_FAULT, **wait: Any) -> Outcome:
        """Run an operation with a fault; the number of its durable operations is in the control block.

        Those in the parent folder of the library count too.
        """
        self.reports.path.unlink(missing_ok=True)
        self.interposer.arm(library.parent, fault, wait.pop("record", None))
        number = self.server.start(
            "operations:run",
            operation=operation,
            library=str(library),
            media=str(self.media),
            reports=str(self.reports.path),
        )
        try:
            return self.server.wait(number, **wait)
        finally:
            self.interposer.disarm()

    def complete(self, operation: str, library: Path, record: Path | None = None) -> float:
        """Run an operation without a fault; return its seconds. Raises RuntimeError if it fails."""
        outcome = self.run(operation, library, record=record)
        if not outcome.completed:
            raise RuntimeError(f"{operation} failed without a fault:\n{outcome.output}")
        return outcome.seconds

    def renew(self, base: Path) -> Path:
        """Replace the library by a copy of a base, which may not exist yet; delete all next to it."""
        shutil.rmtree(self.library.parent)
        self.library.parent.mkdir()
        return copy_library(base, self.library)

    def new_record(self) -> Path:
        """Return a file for a record, which does not exist."""
        record = self.folder / "record"
        record.unlink(missing_ok=True)
        return record

    def use_media(self, source: Path) -> None:
        """Put media in their place, so that all versions have the same path."""
        shutil.rmtree(self.media, ignore_errors=True)
        shutil.copytree(source, self.media)

    def keep(self, library: Path, name: str) -> str:
        """Copy a library that has a problem, and return where it is."""
        kept = Path(mkdtemp(prefix="clew-faults-", dir=gettempdir()))
        if library.exists():
            shutil.copytree(library, kept / "library")
        shutil.copytree(self.media, kept / "media")
        (kept / "case.txt").write_text(f"{name}\n")
        return f"kept in {kept}"


def copy_library(source: Path, target: Path) -> Path:
    """Copy a library, which may not exist yet, over another one."""
    shutil.rmtree(target, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, target)
    return target


def state_or_empty(library: Path) -> State:
    """Return the state of a library, which may not exist yet."""
    return read_state(library) if library.exists() else EMPTY


def judge_outcome(outcome: Outcome) -> list[str]:
    """Return what is wrong with the end of an operation that had a fault."""
    if outcome.timed_out:
        return ["the operation did not end"]
    if outcome.status < 0 and not outcome.killed:
        return [f"ended by signal {-outcome.status}: {outcome.output[-500:]}"]
    lines = outcome.output.strip().splitlines()
    if outcome.status > 0 and not (lines and lines[-1].startswith(EXPECTED_ERRORS)):
        return [f"unexpected error: {outcome.output[-1500:]}"]
    return []


def recover(
    workplace: Workplace,
    library: Path,
    operation: str,
    allowed: tuple[State, Sequence[State]],
    expected: dict[str, str],
    damage: Sequence[str] = (),
    *,
    verify: bool = True,
) -> Findings:
    """Check a library after a fault, run the operation again, and check it again.

    `allowed` has the last committed state, and those that the fault may leave; `expected` what the library
    holds after the operation, and `damage` what was wrong before it.
    """
    arguments = {"operation": operation, "library": str(library), "media": str(workplace.media)}
    outcome = workplace.server.run("checks:recover", **arguments, verify=verify)
    if not outcome.completed:
        return Findings(lost=1, problems=[f"the next run failed: {outcome.output[-1500:]}"])
    after, completed = outcome.result["after"], outcome.result["completed"]
    findings = judge_check(after, *allowed, damage)
    findings.orphans += len(completed["orphans"])
    problems = completed["problems"] + completed["orphans"]
    for name, contents in expected.items():
        if (found := completed["contents"].get(name)) != contents:
            findings.lost += 1
            problems.append(f"{name}: {found}, not {contents}")
    findings.problems += [f"after the next run: {problem}" for problem in problems]
    return findings


def judge_check(
    checked: dict[str, Any], committed: State, allowed: Sequence[State], damage: Sequence[str] = ()
) -> Findings:
    """Return the findings of a check: committed segments that are missing, and those that exist twice."""
    findings, state = Findings(), State(**checked["state"])
    findings.problems += [problem for problem in checked["problems"] if problem not in damage]
    findings.duplicated = len(state.segments) - len(set(state.segments.values()))
    if findings.duplicated:
        findings.problems.append(f"{findings.duplicated} segments twice")
    if state.digest not in {each.digest for each in allowed}:
        lost = len(committed.segments.keys() - state.segments.keys())
        findings.lost = max(1, lost)
        findings.problems.append(
            f"{lost} committed segments are lost" if lost else "the catalog differs from each committed state"
        )
    return findings
