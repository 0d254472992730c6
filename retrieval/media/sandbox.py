"""Decode untrusted files in subprocesses with limits on time and memory.

Native libraries can crash, overflow their stack, or take hours on a small file. In a subprocess they end only
that subprocess, and the file is reported.
"""

import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from io import UnsupportedOperation
from pathlib import Path
from socket import socketpair
from tempfile import TemporaryFile
from threading import Event, Lock, Timer
from time import monotonic
from typing import Any, BinaryIO

from retrieval.media.limits import DecodeLimits
from retrieval.media.sandbox_runner import Answer, Channel

RUNNER_SCRIPT = Path(__file__).with_name("sandbox_runner.py")
IDLE_SECONDS = 10.0  # a subprocess without requests for this long ends
STOP_CHECK_SECONDS = 0.1  # between two checks for the stop of a request


class RequestFailed(Exception):
    """A request that the worker answered with an error; its subprocess can still be used."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code  # of the library that raised the error


class ProcessEnded(Exception):
    """A subprocess that ended before it answered: it crashed, or reached a limit."""


@dataclass(frozen=True, slots=True)
class WorkerScript:
    """A worker script and its limits.

    The script defines `create_handler`, whose result is called with each request and its file. It returns
    an answer, or yields several: all but the last contain a true "more". It runs without the folder of the
    script or the current folder in `sys.path`.
    """

    script: Path
    timeout_seconds: float  # of one answer; a request may contain its own "seconds"
    max_memory_bytes: int


class SandboxedProcess:
    """A subprocess that answers requests in their order; it starts with the first request after its end."""

    def __init__(self, worker: WorkerScript) -> None:
        self._worker = worker
        self._pending_count = 0  # requests without an answer
        self._timeout_seconds = worker.timeout_seconds  # of the last request
        self.stop: Event | None = None  # ends the subprocess and its requests when it is set
        self._stop: weakref.finalize[..., SandboxedProcess] | None = None

    @property
    def is_running(self) -> bool:
        """Return True if the subprocess has started and did not end."""
        return self._stop is not None and self._stop.alive

    @property
    def is_idle(self) -> bool:
        """Return True if the subprocess is running and has answered all requests."""
        return self.is_running and not self._pending_count

    def request(self, request: Mapping[str, Any], file: BinaryIO | None = None) -> Answer:
        """Send a request and return its answer. Answers to earlier requests are dropped.

        Raises RequestFailed and ProcessEnded.
        """
        while self._pending_count:
            with suppress(RequestFailed):
                self.receive()
        self.send(request, file)
        return self.receive()

    def send(self, request: Mapping[str, Any], file: BinaryIO | None = None) -> None:
        """Send a request whose answer `receive` returns later; raises ProcessEnded."""
        self._timeout_seconds = request.get("seconds", self._worker.timeout_seconds)
        self.start()
        copied = nullcontext() if file is None else _with_descriptor(file)
        with self._detect_end(), copied as descriptor:
            self._channel.send(request, descriptor=descriptor)
        self._pending_count += 1

    def receive(self) -> Answer:
        """Return the next answer; raises RequestFailed, ProcessEnded, and CancelledError on a stop."""
        with self._detect_end():
            while self.stop is not None:
                if self.stop.is_set():
                    self.close()
                    raise CancelledError
                if self._channel.has_message(STOP_CHECK_SECONDS):
                    break
            answer, data, _ = self._channel.receive()
        self._pending_count -= not answer.get("more")
        if "error" in answer:
            raise RequestFailed(answer["error"], answer["code"])
        return answer, data

    def close(self) -> None:
        """End the subprocess."""
        if self._stop is not None:
            if self._pending_count and self.is_running:
                self._process.kill()  # it may decode for long
            self._stop()
        self._pending_count = 0

    def start(self) -> None:
        """Start the subprocess if it is not running."""
        if self.is_running:
            return
        ours, theirs = socketpair()
        limits = (str(theirs.fileno()), str(self._worker.timeout_seconds), str(self._worker.max_memory_bytes))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", RUNNER_SCRIPT, self._worker.script, *limits],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C ends clew, which then closes this subprocess
            )
        self._channel = Channel(ours)
        self._stop = weakref.finalize(self, _stop_process, self._channel, self._process)

    @contextmanager
    def _detect_end(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            self.close()
            code = self._process.returncode
            if code == -signal.SIGALRM:
                raise ProcessEnded(f"takes more than {self._timeout_seconds:.3g} seconds") from error
            memory = self._worker.max_memory_bytes / 1e9
            name = f" ({signal.Signals(-code).name})" if -code in set(signal.Signals) else ""
            raise ProcessEnded(f"broken, or takes more than {memory:g} GB of memory{name}") from error


class SandboxPool:
    """Subprocesses of one worker, as many as are borrowed at a time; idle ones end after a while."""

    def __init__(self, worker: WorkerScript, idle_seconds: float = IDLE_SECONDS) -> None:
        self._worker, self._idle_seconds = worker, idle_seconds
        self._idle: list[tuple[float, SandboxedProcess]] = []  # when each was returned, oldest first
        self._lock = Lock()
        self._timer_is_set = False

    def start(self, count: int) -> None:
        """Start subprocesses ahead of their first request, until this many are idle."""
        with self._lock:
            while len(self._idle) < count:
                process = SandboxedProcess(self._worker)
                process.start()
                self._idle.append((monotonic(), process))
            self._set_timer()

    @contextmanager
    def borrow(self, stop: Event | None = None) -> Iterator[SandboxedProcess]:
        """Yield a subprocess that no other thread uses; setting `stop` ends its requests."""
        with self._lock:
            process = self._idle.pop()[1] if self._idle else SandboxedProcess(self._worker)
        process.stop = stop
        try:
            yield process
        finally:
            if process.is_idle:
                with self._lock:
                    self._idle.append((monotonic(), process))
                    self._set_timer()
            else:
                process.close()

    def close(self, *, before: float = float("inf")) -> None:
        """End the idle subprocesses, or those that were returned before a time of `monotonic`."""
        with self._lock:
            expired = [process for returned, process in self._idle if returned <= before]
            del self._idle[: len(expired)]
        for process in expired:
            process.close()

    def _set_timer(self) -> None:
        if not self._timer_is_set:
            timer = Timer(self._idle_seconds, self._close_expired)
            timer.daemon = self._timer_is_set = True
            timer.start()

    def _close_expired(self) -> None:
        self.close(before=monotonic() - self._idle_seconds)
        with self._lock:
            self._timer_is_set = False
            if self._idle:
                self._set_timer()


_shared_pools: dict[WorkerScript, SandboxPool] = {}


def shared_pool(script: Path, limits: DecodeLimits, max_memory_bytes: int | None = None) -> SandboxPool:
    """Return the pool of a worker script and its limits, which all threads share."""
    memory = limits.max_sandbox_memory_bytes if max_memory_bytes is None else max_memory_bytes
    worker = WorkerScript(script, limits.max_sandbox_seconds, memory)
    return _shared_pools.setdefault(worker, SandboxPool(worker))


@contextmanager
def _with_descriptor(file: BinaryIO) -> Iterator[int]:
    """Yield the descriptor of a file; files in memory are copied to a temporary file."""
    try:
        descriptor = file.fileno()
    except (UnsupportedOperation, AttributeError):
        with TemporaryFile() as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy)
            copy.flush()
            yield copy.fileno()
    else:
        yield descriptor


def _stop_process(channel: Channel, process: "subprocess.Popen[bytes]") -> None:
    channel.close()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
