"""Kill, break and interrupt the operations of clew, and count what their libraries lose.

    python tests/faults.py                  three minutes on two cores
    python tests/faults.py --full           every write point; about three hours on two cores
    python tests/faults.py --kills 1000     that many kills at random moments
    python tests/faults.py --corpus DIR     how clew reads the files of any folder

Exit status 1 if anything is lost, found twice or left over, or if a control detects no loss.
"""

import argparse
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.corpus.part import add_options, hostile_files, run_corpus
from tests.support.faults.controls import controls
from tests.support.faults.corruption import corruptions
from tests.support.faults.living import FULL_KILLS, random_kills
from tests.support.faults.power_loss import power_losses
from tests.support.faults.signals import signals
from tests.support.faults.sweep import failed_writes, kill_points, migrations
from tests.support.faults.together import copies, readers, two_writers
from tests.support.faults.workplace import Plan, Tally, Workplace

WIDTH = 80  # columns of the progress
MIN_MEMORY_FILE_SYSTEM_BYTES = 10**9
DEFAULT_KILLS, DEFAULT_JOBS = 20, max(2, os.cpu_count() or 2)
MAX_SHOWN_FAILURES = 5  # of each part
Part = Callable[[Workplace, Plan], Tally]
PARTS: dict[str, tuple[str, Part]] = {
    "kill-points": ("kill -9 at write points", kill_points),
    "kills": ("kill -9 at random moments", random_kills),
    "power": ("power losses", power_losses),
    "corruption": ("changed and missing bytes", corruptions),
    "errors": ("ENOSPC, EIO, short writes", failed_writes),
    "corpus": ("damaged and mutated files", hostile_files),
    "migrations": ("faults in migrations", migrations),
    "signals": ("SIGTERM and Ctrl-C", signals),
    "writers": ("two writers", two_writers),
    "readers": ("readers beside a writer", readers),
    "copies": ("copies beside a writer", copies),
    "controls": ("naive order: losses detected", controls),
}


@dataclass(frozen=True, slots=True)
class Result:
    """The counts of a part, and how long it took."""

    part: str
    tally: Tally
    seconds: float
    error: str | None = None  # of the harness


class Progress:
    """Print lines from several threads, of at most 80 columns."""

    def __init__(self, is_quiet: bool) -> None:
        self._lock, self._is_quiet, self._at = Lock(), is_quiet, dict[str, float]()

    def of(self, part: str, plan: Plan) -> Plan:
        """Return the plan of a part that prints its progress here."""
        return replace(plan, progress=partial(self, part), failed=partial(self.failed, part))

    def failed(self, part: str, line: str) -> None:
        """Print a failure, of any length."""
        with self._lock:
            if not self._is_quiet:
                print(f"{part:12} {line}", file=sys.stderr, flush=True)

    def __call__(self, part: str, line: str) -> None:
        """Print a line of a part, at most one a second."""
        with self._lock:
            now = time.monotonic()
            if not self._is_quiet and now - self._at.get(part, 0.0) >= 1:
                self._at[part] = now
                print(f"{part:12} {line}"[:WIDTH], file=sys.stderr, flush=True)


def run_part(part: str, plan: Plan, folder: Path) -> Result:
    """Run a part in a folder of its own."""
    started, workplace = time.monotonic(), None
    folder = (folder / part).resolve()
    folder.mkdir()
    try:
        workplace = Workplace(folder, plan.seed)
        tally, error = PARTS[part][1](workplace, plan), None
    except Exception:
        tally, error = Tally(), traceback.format_exc()
    finally:
        if workplace is not None:
            workplace.close()
        shutil.rmtree(folder, ignore_errors=True)
    return Result(part, tally, time.monotonic() - started, error)


def working_folder() -> Path:
    """Create a folder, in memory if there is space: only the order of the writes is tested, not the disk."""
    memory = Path("/dev/shm")
    has_space = memory.is_dir() and shutil.disk_usage(memory).free > MIN_MEMORY_FILE_SYSTEM_BYTES
    return Path(mkdtemp(prefix="clew-faults-", dir=memory if has_space else None))


def make_plan(seed: int = 1, full: bool = False, kills: int | None = None, case: str = "") -> Plan:
    """Return a plan with the default number of kills."""
    return Plan(seed, full, kills or (FULL_KILLS if full else DEFAULT_KILLS), case)


def run_parts(
    parts: list[str], plan: Plan, jobs: int = DEFAULT_JOBS, progress: Progress | None = None
) -> list[Result]:
    """Run parts, several at the same time."""
    progress = progress or Progress(is_quiet=True)
    folder = working_folder()
    try:
        with ThreadPoolExecutor(jobs) as pool:
            futures: list[Future[Result]] = [
                pool.submit(run_part, part, progress.of(part, plan), folder) for part in parts
            ]
            return [future.result() for future in futures]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def print_results(results: list[Result], seed: int) -> bool:
    """Print the table and the failures; return True if there are none."""
    print(f"{'':30} {'tried':>7} {'survived':>8} {'lost':>5} {'duplicated':>10} {'orphans':>7} {'s':>6}")
    for result in results:
        tally, title = result.tally, PARTS[result.part][0]
        print(
            f"{title:30} {tally.tried:7} {tally.survived:8} {tally.lost:5} {tally.duplicated:10} "
            f"{tally.orphans:7} {result.seconds:6.0f}"
        )
    for result in results:
        for note in result.tally.notes:
            print(f"{PARTS[result.part][0]}: {note}")
    for result in results:
        if result.error:
            print(f"\nThe harness failed in {result.part}:\n{result.error}")
        for name, problem in result.tally.failures[:MAX_SHOWN_FAILURES]:
            print(f"\n{PARTS[result.part][0]}, {name}:\n  {problem}")
            print(f"  python tests/faults.py --seed {seed} --only {result.part} --case '{name}'")
        if (more := len(result.tally.failures) - MAX_SHOWN_FAILURES) > 0:
            print(f"\n{PARTS[result.part][0]}: {more} more problems")
    return all(is_good(result) for result in results)


def is_good(result: Result) -> bool:
    """Return True if a part has tried cases and none has failed."""
    return result.error is None and result.tally.tried > 0 and not result.tally.failures


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--full", action="store_true", help="try every write point; takes about three hours on two cores"
    )
    parser.add_argument("--kills", type=int, help="number of kills at random moments")
    parser.add_argument("--seed", type=int, default=1, help="seed of all random choices (default: 1)")
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part; repeatable")
    parser.add_argument(
        "--case",
        default="",
        help="run only the cases whose name contains this text, of all those that --full may try",
    )
    parser.add_argument(
        "--jobs", type=int, default=DEFAULT_JOBS, help="parts at the same time (default: the cores)"
    )
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    add_options(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the harness; return the exit status."""
    options = parse_arguments(arguments)
    if options.corpus:
        return run_corpus(options, print, partial(Progress(options.quiet), "corpus"))
    plan = make_plan(options.seed, options.full, options.kills, options.case)
    results = run_parts(options.only or list(PARTS), plan, options.jobs, Progress(options.quiet))
    return 0 if print_results(results, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
