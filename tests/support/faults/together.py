"""Several processes on one library: two writers, readers and a server, copies, and signals to commands."""

import json
import os
import shutil
import sqlite3
import time
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


def two_writers(workplace: Workplace, plan: Plan) -> Tally:
    """Start a second writer at a random moment of the first; one of them works, and nothing is lost."""
    tally, random_, (old, new) = Tally(), workplace.random("writers"), make_media(workplace)
    filled, refused = fill_library(workplace, old), 0
    workplace.use_media(new)
    for number in range(plan.limit(6, 100) or 6):
        name = f"writers {number}"
        plan.progress(name)
        library = copy_library(filled, workplace.library)
        before = state_or_empty(library)
        arguments = {"library": str(library), "media": str(workplace.media)}
        reports = str(workplace.reports.path)
        workplace.reports.path.unlink(missing_ok=True)
        first = workplace.server.start("operations:run", operation="index", reports=reports, **arguments)
        time.sleep(random_.uniform(0, 0.3))
        second = workplace.server.start("operations:run", operation="build", reports=reports, **arguments)
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


def readers(workplace: Workplace, plan: Plan) -> Tally:
    """Read with eight processes and a server while a writer works; each answer is of a committed state."""
    tally, (old, _) = Tally(), make_media(workplace)
    library = copy_library(fill_library(workplace, old), workplace.library)
    random_ = workplace.random("readers")
    slowest, slow, answers = 0.0, 0, 0
    for number in range(plan.limit(2, 20) or 2):
        plan.progress(f"readers, round {number + 1}")
        stop = workplace.folder / "stop"
        stop.unlink(missing_ok=True)
        workplace.reports.path.unlink(missing_ok=True)
        initial = state_or_empty(library)
        started = [
            workplace.server.start("together:read", library=str(library), stop=str(stop), through=through)
            for through in ("library",) * READERS + ("server",)
        ]
        for operation in ("index", "build", "purge", "index"):
            if operation == "index":
                media.change_files(workplace.media / "main", random_, 2)
            writer = workplace.server.run(
                "operations:run",
                operation=operation,
                library=str(library),
                media=str(workplace.media),
                reports=str(workplace.reports.path),
            )
            if not writer.completed:
                tally.add(
                    f"round {number}", Findings(problems=[f"{operation} failed: {writer.output[-500:]}"])
                )
        stop.touch()
        reported = [state for _, state in workplace.reports.read()]
        states = {json.dumps(state.images) for state in (initial, *reported)}
        for at, reader in enumerate(started):
            outcome = workplace.server.wait(reader)
            findings = Findings(problems=judge_outcome(outcome))
            if outcome.completed:
                seen, seconds = outcome.result["seen"], outcome.result["seconds"]
                wrong = [each for each in seen if each not in states]
                answers += len(seconds)
                slowest = max([slowest, *seconds])
                slow += sum(each > BLOCKED_SECONDS for each in seconds)
                if wrong:
                    findings.lost += len(wrong)
                    findings.problems.append(f"{len(wrong)} answers are of no committed state")
            tally.add(f"round {number}, reader {at}", findings)
    tally.notes.append(
        f"{answers} answers, {slow} took more than 100 ms, the slowest {1000 * slowest:.0f} ms with "
        f"{READERS + 2} processes on {os.cpu_count()} cores"
    )
    return tally


def copies(workplace: Workplace, plan: Plan) -> Tally:
    """Copy a library while a writer works; the copy answers as a committed state, or is refused."""
    tally, random_, (old, _) = Tally(), workplace.random("copies"), make_media(workplace)
    filled, refused = fill_library(workplace, old), 0
    library, copy = copy_library(filled, workplace.library), workplace.folder / "copy"
    for number in range(plan.limit(8, 200) or 8):
        name = f"copy {number}"
        plan.progress(name)
        media.change_files(workplace.media / "main", random_, 1)
        before = state_or_empty(library)
        workplace.reports.path.unlink(missing_ok=True)
        writer = workplace.server.start(
            "operations:run",
            operation=random_.choice(("index", "index", "build", "purge")),
            library=str(library),
            media=str(workplace.media),
            reports=str(workplace.reports.path),
        )
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
    """Search until a file exists; return the distinct answers, and the seconds of each."""
    folder, seen, seconds = Path(library), set[str](), list[float]()
    search = through_server(folder) if through == "server" else through_library(folder)
    end = time.monotonic() + MAX_READ_SECONDS
    while not Path(stop).exists() and time.monotonic() < end:
        started = time.monotonic()
        ids = search()
        seconds.append(time.monotonic() - started)
        seen.add(json.dumps(sorted(ids)))
        time.sleep(0.005)
    return {"seen": sorted(seen), "seconds": seconds[1:]}  # the first loads modules


def through_library(folder: Path) -> Any:
    """Return a function that searches a library that stays open."""
    library = Library.open(folder, embedder=active_embedder(folder))
    return lambda: [hit.id for hit in library.search("red", kind="image", count=ALL)]


def through_server(folder: Path) -> Any:
    """Return a function that searches through the HTTP API."""
    from starlette.testclient import TestClient

    app = create_app(ServerOptions(folder, embedder=active_embedder(folder)))
    client = TestClient(app, "http://127.0.0.1:8765", client=("127.0.0.1", 50_000))
    client.__enter__()
    parameters = {"q": "red", "kind": "image", "count": 1_000, "group": False}
    return lambda: [hit["id"] for hit in client.get("/api/search", params=parameters).json()["items"]]
