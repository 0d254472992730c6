"""Several processes on one library: two writers, readers and a server, and copies."""

import json
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from retrieval import Library
from retrieval.errors import LibraryError
from retrieval.server.app import create_app
from retrieval.server.options import ServerOptions
from tests.support.faults import media
from tests.support.faults.checks import ALL, check
from tests.support.faults.operations import active_embedder
from tests.support.faults.sweep import fill_library, make_media
from tests.support.faults.workplace import (
    Findings,
    Plan,
    Tally,
    Workplace,
    copy_library,
    judge_check,
    judge_outcome,
    state_or_empty,
)

READERS, BLOCKED_SECONDS = 8, 0.1
MAX_READ_SECONDS = 60.0
LOCK_WORDS = "is in use by"


@dataclass(frozen=True, slots=True)
class Answer:
    """The seconds of an answer, and those of them in which no thread ran or waited for a core."""

    seconds: float
    blocked: float


def two_writers(workplace: Workplace, plan: Plan) -> Tally:
    """Start a second writer at a random moment of the first; one of them works, and nothing is lost."""
    tally, (old, new) = plan.tally(), make_media(workplace)
    filled, refused = fill_library(workplace, old), 0
    workplace.use_media(new)
    for number in plan.numbers(6, 100):
        name, random_ = f"writers {number}", workplace.random("writers", number)
        if not plan.selects(name):
            continue
        plan.progress(name)
        library = copy_library(filled, workplace.library)
        before = state_or_empty(library)
        workplace.reports.path.unlink(missing_ok=True)
        first = start(workplace, "index")
        time.sleep(random_.uniform(0, 0.3))
        second = start(workplace, "build")
        outcomes = [workplace.server.wait(each) for each in (first, second)]
        busy = [outcome for outcome in outcomes if LOCK_WORDS in outcome.output]
        refused += len(busy)
        checked = workplace.server.run("checks:check", library=str(library))
        findings = judge_check(checked.result, *workplace.reports.allowed(before))
        for outcome in outcomes:
            findings.problems += judge_outcome(outcome)
            if not outcome.completed and outcome not in busy:
                findings.problems.append(f"a writer failed: {outcome.output[-500:]}")
        tally.add(name, findings)
    tally.notes.append(f"{refused} second writers were refused with LibraryBusy")
    if not refused and not plan.case:
        tally.failures.append(("all", "no writer was refused, so the library has two at a time"))
    return tally


def start(workplace: Workplace, operation: str) -> int:
    """Start an operation on the library, and return the number of its process."""
    return workplace.server.start(
        "operations:run",
        operation=operation,
        library=str(workplace.library),
        media=str(workplace.media),
        reports=str(workplace.reports.path),
    )


def readers(workplace: Workplace, plan: Plan) -> Tally:
    """Read with eight processes and a server while a writer works; each answer is of a committed state."""
    tally, (old, _) = plan.tally(), make_media(workplace)
    filled, answers = fill_library(workplace, old), list[Answer]()
    for number in plan.numbers(2, 20):
        name = f"round {number}"
        if not plan.selects(name) and not plan.case.startswith(f"{name},"):  # may name a reader of the round
            continue
        plan.progress(name)
        workplace.use_media(old)
        library = copy_library(filled, workplace.library)
        stop = workplace.folder / "stop"
        stop.unlink(missing_ok=True)
        workplace.reports.path.unlink(missing_ok=True)
        initial = state_or_empty(library)
        started = [
            workplace.server.start("together:read", library=str(library), stop=str(stop), through=through)
            for through in ("library",) * READERS + ("server",)
        ]
        for problem in write_beside(workplace, workplace.random("readers", number)):
            tally.add(f"{name}, writer", Findings(problems=[problem]))
        stop.touch()
        states = {json.dumps(state.images) for state in (initial, *(s for _, s in workplace.reports.read()))}
        for at, reader in enumerate(started):
            outcome = workplace.server.wait(reader)
            findings = Findings(problems=judge_outcome(outcome))
            if outcome.completed:
                answers += [Answer(*each) for each in outcome.result["answers"]]
                wrong = [each for each in outcome.result["seen"] if each not in states]
                if wrong:
                    findings.lost += len(wrong)
                    findings.problems.append(f"{len(wrong)} answers are of no committed state")
            tally.add(f"{name}, reader {at}", findings)
    tally.notes += describe_times(answers)
    if plan.full and (count := sum(each.blocked > BLOCKED_SECONDS for each in answers)):
        tally.failures.append(("all", f"{count} answers waited for the writer for more than 100 ms"))
    return tally


def write_beside(workplace: Workplace, random_: random.Random) -> Iterator[str]:
    """Run operations while readers work; yield what is wrong with them."""
    for operation in ("index", "build", "purge", "index"):
        if operation == "index":
            media.change_files(workplace.media / "main", random_, 2)
        writer = workplace.server.wait(start(workplace, operation))
        if not writer.completed:
            yield f"{operation} failed: {writer.output[-500:]}"


def describe_times(answers: Sequence[Answer]) -> list[str]:
    """Return lines on the answers that took long, and on those that waited for something else than a core."""
    wall, blocked = ([getattr(each, name) for each in answers] for name in ("seconds", "blocked"))
    slow, stopped = (sum(each > BLOCKED_SECONDS for each in times) for times in (wall, blocked))
    return [
        f"{len(answers)} answers, {slow} took more than 100 ms, the slowest "
        f"{1000 * max(wall, default=0):.0f} ms, with {READERS + 2} processes on {os.cpu_count()} cores",
        f"without the time on a core and in its queue: {stopped} waited more than 100 ms, the longest "
        f"{1000 * max(blocked, default=0):.0f} ms",
    ]


def copies(workplace: Workplace, plan: Plan) -> Tally:
    """Copy a library while a writer works; the copy answers as a committed state, or is refused."""
    tally, (old, _) = plan.tally(), make_media(workplace)
    filled, refused = fill_library(workplace, old), 0
    copy = workplace.folder / "copy"
    for number in plan.numbers(8, 200):
        name, random_ = f"copy {number}", workplace.random("copies", number)
        if not plan.selects(name):
            continue
        plan.progress(name)
        workplace.use_media(old)
        media.change_files(workplace.media / "main", random_, 1)
        library = copy_library(filled, workplace.library)
        before = state_or_empty(library)
        workplace.reports.path.unlink(missing_ok=True)
        writer = start(workplace, random_.choice(("index", "index", "build", "purge")))
        time.sleep(random_.uniform(0, 0.4))
        shutil.rmtree(copy, ignore_errors=True)
        try:
            shutil.copytree(library, copy)
        except shutil.Error:  # a file was deleted meanwhile, which cp reports
            refused += 1
        workplace.server.wait(writer)
        states = [before, *workplace.reports.committed()]
        checked = workplace.server.run("together:check_copy", library=str(copy))
        findings = Findings(problems=judge_outcome(checked))
        if checked.completed and checked.result["refused"]:
            refused += 1
        elif checked.completed:
            findings = judge_check(checked.result, before, states)
        if findings.problems:
            findings.problems.append(workplace.keep(copy, name))
        tally.add(name, findings)
    tally.notes.append(f"{refused} copies were incomplete or refused")
    return tally


def check_copy(library: str) -> dict[str, Any]:
    """Check a copy as `checks.check` does; `refused` is True if it cannot be opened."""
    try:
        Library.open(library, embedder=active_embedder(Path(library))).close()
        return {**check(library, writes=False), "refused": False}
    except (LibraryError, sqlite3.DatabaseError):
        return {"refused": True}


def read(library: str, stop: str, through: str) -> dict[str, Any]:
    """Search until a file exists; return the distinct answers, and the times of each."""
    folder, seen, answers = Path(library), set[str](), list[Answer]()
    search = through_server(folder) if through == "server" else through_library(folder)
    end = time.monotonic() + MAX_READ_SECONDS
    while not Path(stop).exists() and time.monotonic() < end:
        started, scheduled = time.monotonic(), scheduled_seconds()
        ids = search()
        seconds = time.monotonic() - started
        answers.append(Answer(seconds, max(0.0, seconds - scheduled_seconds() + scheduled)))
        seen.add(json.dumps(sorted(ids)))
        time.sleep(0.005)
    return {"seen": sorted(seen), "answers": list(map(astuple, answers[1:]))}  # the first loads modules


def scheduled_seconds() -> float:
    """Return the time of all threads of this process on a core and in its queue (0 outside of Linux)."""
    seconds = 0.0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError):  # the thread has ended
            running, waiting, _ = path.read_text().split()
            seconds += (int(running) + int(waiting)) / 1e9
    return seconds


def through_library(folder: Path) -> Any:
    """Return a function that searches a library that stays open."""
    library = Library.open(folder, embedder=active_embedder(folder))
    return lambda: [hit.id for hit in library.search("red", kind="image", count=ALL)]


def through_server(folder: Path) -> Any:
    """Return a function that searches through the HTTP API."""
    from starlette.testclient import TestClient

    app = create_app(Library.open(folder, embedder=active_embedder(folder)), ServerOptions())
    client = TestClient(app, "http://127.0.0.1:8765", client=("127.0.0.1", 50_000))
    client.__enter__()
    parameters = {"q": "red", "kind": "image", "count": 1_000, "group": False}
    return lambda: [hit["id"] for hit in client.get("/api/search", params=parameters).json()["items"]]
