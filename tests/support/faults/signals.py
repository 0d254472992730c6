"""Send SIGTERM and Ctrl-C to the commands that write a library, at random moments."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.faults.fork_server import Outcome
from tests.support.faults.operations import BACKUP, FOLDERS
from tests.support.faults.state import Reports, State, read_state
from tests.support.faults.sweep import make_media
from tests.support.faults.workplace import (
    Findings,
    Plan,
    Tally,
    Workplace,
    copy_library,
    judge_check,
    state_or_empty,
)

WATCH_SECONDS = 3.0  # typical time until a signal
SIGNALS = (signal.SIGINT, signal.SIGTERM)
OLD_BUILTIN = "builtin-1"  # a library that `clew switch` embeds again


@dataclass(frozen=True, slots=True)
class Command:
    """A command line without its library, and the library that it starts with."""

    arguments: Sequence[str]
    base: Path
    after: State | None = None  # of a command that replaces the library
    seconds: float = 0.0  # that it takes

    def __str__(self) -> str:
        options = [word for word in self.arguments[1:] if word.startswith("--")]
        return " ".join(["clew", self.arguments[0], *options[:1]])


def signals(workplace: Workplace, plan: Plan) -> Tally:
    """Send signals to commands at random moments: no traceback, and nothing is lost."""
    tally, (old, new) = plan.tally(), make_media(workplace)
    commands = measured_commands(workplace, old, new)
    for number in plan.numbers(16, 300):
        command, random_ = commands[number % len(commands)], workplace.random("signals", number)
        sent, share = random_.choice(SIGNALS), random_.random()
        name = f"signal {number}, {sent.name} to {command} at {share:.0%} of its time"
        if not plan.selects(name):
            continue
        plan.progress(name)
        tally.add(name, signaled(workplace, command, sent, share * command.seconds))
    return tally


def measured_commands(workplace: Workplace, old: Path, new: Path) -> list[Command]:
    """Return the commands, with the seconds that each takes without a signal."""
    workplace.use_media(old)
    backup = str(workplace.folder / BACKUP)
    bases, none = workplace.folder / "bases", workplace.folder / "bases" / "none"
    filled, taught, outdated = bases / "builtin", bases / "taught", bases / OLD_BUILTIN
    folders = main, more = [str(workplace.media / name) for name in FOLDERS]
    examples = str(shutil.copytree(old / "main" / "0", workplace.folder / "examples"))
    run_to_end(workplace, Command(["index", *folders, "--model", "builtin"], none), filled)
    run_to_end(workplace, Command(["tag", "red", "blue"], filled), taught)
    run_to_end(workplace, Command(["teach", "ruby", examples, "--anyway"], taught), taught)
    run_to_end(workplace, Command(["save", "gems", "red"], taught), taught)
    run_to_end(workplace, Command(["backup", backup], filled))
    unpack_outdated(workplace, outdated)
    damaged = copy_library(filled, bases / "damaged")
    next((damaged / "indexes").iterdir()).unlink()
    (damaged / "thumbnails.sqlite").unlink()
    workplace.use_media(new)
    beside = str(workplace.library.with_name(BACKUP))
    commands = [
        Command(["index", *folders, "--model", "builtin"], none),
        Command(["index"], filled),
        Command(["index", "--again", main, "--index", "hnsw"], filled),
        Command(["switch", "builtin"], outdated),
        Command(["tag", "red", "blue"], filled),
        Command(["tag", "--remove", "red"], taught),
        Command(["teach", "ruby", examples, "--anyway"], filled),
        Command(["teach", "--forget", "ruby"], taught),
        Command(["save", "gems", "red"], filled),
        Command(["save", "--delete", "gems"], taught),
        Command(["forget", more], taught),
        Command(["forget", "--purge", more], taught),
        Command(["verify", "--repair"], damaged),
        Command(["backup", "--overwrite", beside], filled),
        Command(["restore", "--replace", backup], taught, after=read_state(filled)),
    ]
    return [
        *(replace(command, seconds=run_to_end(workplace, command)) for command in commands),
        Command(["watch"], filled, seconds=WATCH_SECONDS),
    ]


def unpack_outdated(workplace: Workplace, target: Path) -> None:
    """Unpack a library of an earlier built-in model."""
    folder = workplace.folder / "outdated"
    workplace.server.run("operations:unpack_old_library", version=OLD_BUILTIN, folder=str(folder))
    shutil.move(folder / "library", target)


def run_to_end(workplace: Workplace, command: Command, result: Path | None = None) -> float:
    """Run a command without a signal, and return its seconds; the library is copied to `result`.

    Raises RuntimeError if it fails.
    """
    copy_library(command.base, workplace.library)
    outcome = run_with_signal(workplace, command, signal.SIGTERM, None)
    if not outcome.completed:
        raise RuntimeError(f"{command} failed: {outcome.output}")
    if result is not None:
        copy_library(workplace.library, result)
    return outcome.seconds


def signaled(workplace: Workplace, command: Command, sent: signal.Signals, after: float) -> Findings:
    """Send a signal to a command after some seconds, and return what is wrong then."""
    library = start_again(workplace, command)
    damage = workplace.server.run("checks:check", library=str(library)).result["problems"]
    start_again(workplace, command)  # the check has migrated a library of an earlier version
    before = state_or_empty(library)
    outcome = run_with_signal(workplace, command, sent, after)
    committed, allowed = workplace.reports.allowed(before)
    if command.after is not None:
        allowed.append(command.after)
    checked = workplace.server.run("checks:check", library=str(library))
    if not checked.completed:
        return Findings(lost=1, problems=[f"the check failed: {checked.output[-1500:]}"])
    findings = judge_check(checked.result, committed, allowed, damage)
    findings.problems += end_problems(command, sent, outcome)
    left = [path.name for path in library.parent.iterdir() if path.name.startswith(".")]
    findings.orphans += len(left)
    findings.problems += [f"{name} is left" for name in left]
    if findings.problems:
        findings.problems.append(workplace.keep(library, str(command)))
    return findings


def start_again(workplace: Workplace, command: Command) -> Path:
    """Put the library that a command starts with in its place, and a backup next to it."""
    library = workplace.renew(command.base)
    shutil.copyfile(workplace.folder / BACKUP, library.with_name(BACKUP))
    return library


def end_problems(command: Command, sent: signal.Signals, outcome: Outcome) -> list[str]:
    """Return what is wrong with the end of a command that got a signal, or had ended before."""
    codes = {0, 128 + sent}
    message = outcome.output.strip()
    if outcome.timed_out or "Traceback" in message or outcome.status not in codes:
        return [f"exit code {outcome.status} after {sent.name}: {message[-1500:]}"]
    if outcome.status and not message.splitlines()[-1:]:
        return [f"exit code {outcome.status} without a message"]
    return []


def run_with_signal(
    workplace: Workplace, command: Command, sent: signal.Signals, after: float | None
) -> Outcome:
    """Run a command, and send it a signal some seconds after its start."""
    ready = workplace.folder / "ready"
    ready.unlink(missing_ok=True)
    workplace.reports.path.unlink(missing_ok=True)
    number = workplace.server.start(
        "signals:run_command",
        arguments=[*command.arguments, "--library", str(workplace.library)],
        reports=str(workplace.reports.path),
        ready=str(ready),
    )
    while after is not None and not ready.exists():
        time.sleep(0.005)
    return workplace.server.wait(number, signal_after=after, number_of_signal=sent)


def run_command(arguments: list[str], reports: str, ready: str) -> None:
    """Run the `clew` command with reports of its commits; signals outside of it end the process too."""
    from indexer.cli.main import main

    def end(number: int, frame: object) -> None:
        os.write(1, b"Outside of the command.\n")
        os._exit(128 + number)

    Reports(Path(reports)).install()
    sys.argv = ["clew", *arguments]
    for number in SIGNALS:
        signal.signal(number, end)
    Path(ready).touch()
    main()
