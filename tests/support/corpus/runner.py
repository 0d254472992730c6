"""Start the child processes, and watch their time, memory and stderr."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from tests.support.catalog import REPOSITORY_ROOT
from tests.support.corpus.verdict import Sample, Verdict

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
CHECK_SECONDS = 0.1  # between two measurements of the memory
START_SECONDS = 60.0  # to import clew, in addition to the time of the first file
FILES_PER_LIBRARY = 100  # that one child indexes into one library


@dataclass(frozen=True, slots=True)
class Watch:
    """The limits of a file, and the child that indexes it."""

    seconds: float = 90.0  # more than the product allows a decoder, which then reports the file
    memory_bytes: int = 2_000_000_000  # resident, of the child and its decoders together
    model: str = "toy"
    module: str = "tests.support.corpus.child"


class CorpusRunner:
    """Indexes samples in child processes; one is replaced when it ends or has indexed enough files."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self._folder, self._watch = folder, watch
        self._child: subprocess.Popen[bytes] | None = None
        self._count = self._generation = 0
        self._errors = folder / "stderr"

    def run(self, samples: Iterable[Sample]) -> Iterator[Verdict]:
        """Yield the verdict of each sample."""
        try:
            for sample in samples:
                yield self._judge(sample)
        finally:
            self._end_child()

    def _judge(self, sample: Sample) -> Verdict:
        if self._child is None or self._count == FILES_PER_LIBRARY:
            self._start_child()
        self._count += 1
        folder = self._folder / f"root-{self._generation}" / str(self._count)
        folder.mkdir(parents=True)
        sample.write(folder)
        started, seen = monotonic(), self._errors.stat().st_size
        outcome, reason = self._wait(folder)
        seconds = monotonic() - started
        with self._errors.open("rb") as file:
            file.seek(seen)
            printed = file.read().decode("utf-8", "replace")
        if outcome in ("crash", "hang", "memory"):
            self._end_child()
        elif "Traceback" in printed:
            outcome, reason = "traceback", printed[-2_000:]
        return Verdict(sample.name, outcome, reason, seconds)

    def _wait(self, folder: Path) -> tuple[Any, str]:
        """Send a folder to the child, and return the outcome and the reason of its file."""
        assert self._child is not None and self._child.stdin is not None and self._child.stdout is not None
        end = monotonic() + self._watch.seconds + START_SECONDS * (self._count == 1)
        with suppress(BrokenPipeError):  # it has ended, which its output tells
            self._child.stdin.write(json.dumps(str(folder)).encode() + b"\n")
            self._child.stdin.flush()
        while monotonic() < end:
            if select.select([self._child.stdout], [], [], CHECK_SECONDS)[0]:
                answer = self._child.stdout.readline()
                if answer.endswith(b"\n"):
                    outcome, reason = json.loads(answer)
                    return outcome, reason
                return "crash", _describe_end(self._child.wait())
            if (used := session_bytes(self._child.pid)) > self._watch.memory_bytes:
                return "memory", f"{used / 1e9:.1f} GB resident"
        return "hang", f"more than {self._watch.seconds:g} seconds"

    def _start_child(self) -> None:
        self._end_child()
        self._generation, self._count = self._generation + 1, 0
        library = self._folder / f"library-{self._generation}"
        with self._errors.open("ab") as errors:
            self._child = subprocess.Popen(
                [sys.executable, "-m", self._watch.module, str(library), self._watch.model],
                cwd=REPOSITORY_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # which its decoders belong to
            )

    def _end_child(self) -> None:
        """End the child and its decoders, and delete its files."""
        if self._child is None:
            return
        for process, _ in session_processes(self._child.pid):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        self._child = None
        for name in ("library", "root"):
            shutil.rmtree(self._folder / f"{name}-{self._generation}", ignore_errors=True)


def _describe_end(status: int) -> str:
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def session_bytes(session: int) -> int:
    """Return the resident bytes of the processes of a session."""
    return sum(size for _, size in session_processes(session))


def session_processes(session: int) -> Iterator[tuple[int, int]]:
    """Yield the id and the resident bytes of each process of a session."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            yield int(path.parent.name), int(fields[21]) * PAGE_BYTES
