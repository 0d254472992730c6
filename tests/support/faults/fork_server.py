"""Run operations in forked processes of a warm parent, whose file operations are interposed.

The parent has the modules imported, and runs no threads. A process has its own group, so that a fault kills
it with its children. Requests and answers are JSON lines on standard input and output.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 120.0
POLL_SECONDS = 0.002
FAILED = 3  # exit status of a process whose operation raised


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a process: its status as of `Popen.returncode`, its result, and what it printed."""

    status: int
    result: Any
    output: str
    seconds: float
    timed_out: bool = False

    @property
    def completed(self) -> bool:
        return self.status == 0

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class ForkServer:
    """A client of a server process."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self._number = folder, 0
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            env={**environment, **threads, "PYTHONHASHSEED": "0", "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, call: str, **arguments: Any) -> int:
        """Start `tests.support.faults.MODULE:FUNCTION` and return its number."""
        self._number += 1
        self._ask(
            {"do": "start", "call": call, "arguments": arguments, "base": str(self._base(self._number))}
        )
        return self._number

    def wait(
        self, number: int, *, signal_after: float | None = None, number_of_signal: int = signal.SIGKILL
    ) -> Outcome:
        """Wait for the end of a process; send a signal to its group after some seconds."""
        request = {"do": "wait", "signal_after": signal_after, "signal": int(number_of_signal)}
        answer = self._ask({**request, "base": str(self._base(number))})
        base = self._base(number)
        result = json.loads(base.with_suffix(".json").read_text() or "null")
        output = base.with_suffix(".out").read_text(errors="replace")
        for suffix in (".json", ".out"):
            base.with_suffix(suffix).unlink()
        return Outcome(answer["status"], result, output, answer["seconds"], answer["timed_out"])

    def run(self, call: str, **arguments: Any) -> Outcome:
        """Run a function to its end."""
        return self.wait(self.start(call, **arguments))

    def warm_up(self, call: str, **arguments: Any) -> None:
        """Import in the server what a function imports."""
        outcome = self.run("fork_server:imported_modules", function=call, values=arguments)
        if not outcome.completed:
            raise RuntimeError(f"{call} failed without a fault:\n{outcome.output}")
        self._ask({"do": "import", "modules": outcome.result})

    def close(self) -> None:
        with self._process as process:
            assert process.stdin
            process.stdin.close()

    def _base(self, number: int) -> Path:
        return self.folder / f"process-{number}"

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The fork server has ended.")
        return json.loads(line)


def imported_modules(function: str, values: dict[str, Any]) -> list[str]:
    """Return the modules that a function imports."""
    before = set(sys.modules)
    _function(function)(**values)
    return sorted(set(sys.modules) - before)


def _function(call: str) -> Any:
    module, _, name = call.partition(":")
    return getattr(import_module(f"tests.support.faults.{module}"), name)


def _start(request: dict[str, Any]) -> int:
    """Fork a process that runs a function, and return its id."""
    base = Path(request["base"])
    base.with_suffix(".json").touch()
    base.with_suffix(".out").touch()
    pid = os.fork()
    if pid:
        return pid
    status = FAILED
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output = os.open(base.with_suffix(".out"), os.O_WRONLY | os.O_APPEND)
        null = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((null, 0), (output, 1), (output, 2)):
            os.dup2(old, new)
        result = _function(request["call"])(**request["arguments"])
        base.with_suffix(".json").write_text(json.dumps(result))
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else FAILED
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _wait(pid: int, request: dict[str, Any]) -> dict[str, Any]:
    """Wait for a process; send the signal when it is time, and SIGKILL at the timeout."""
    started, after, timed_out = time.monotonic(), request["signal_after"], False
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        seconds = time.monotonic() - started
        if seconds > TIMEOUT_SECONDS:
            timed_out = True
            os.killpg(pid, signal.SIGKILL)
        elif after is not None and seconds >= after:
            try:
                os.killpg(pid, request["signal"])
            except ProcessLookupError:  # the process has no group yet
                os.kill(pid, request["signal"])
            after = None
        time.sleep(POLL_SECONDS if after is None else min(POLL_SECONDS, max(0.0, after - seconds)))
    _kill_rest(pid)
    code = os.waitstatus_to_exitcode(status)
    return {"status": code, "seconds": time.monotonic() - started, "timed_out": timed_out}


def _kill_rest(group: int) -> None:
    """Kill the remaining processes of a group."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def serve() -> None:
    """Answer requests until standard input ends."""
    pids: dict[str, int] = {}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin:
        request, answer = json.loads(line), {}
        if request["do"] == "start":
            pids[request["base"]] = _start(request)
        elif request["do"] == "wait":
            answer = _wait(pids.pop(request["base"]), request)
        else:
            for name in request["modules"]:
                if name.partition(".")[0] != "__main__":
                    try:
                        import_module(name)
                    except Exception:  # a part of another module
                        continue
            gc.collect()
            gc.freeze()  # a collection in a child would copy the memory of its parent
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
