"""The pages of PDFs, from a process of their own: see `indexer.pdf_worker`."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import UnsupportedOperation
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from tempfile import TemporaryFile
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from indexer.decode.documents import pdf_worker
from retrieval.errors import MediaError

ERROR_MESSAGES = {
    0: "no pages in it",
    4: "needs a password",
    5: "locked in a way clew does not know",
}  # pdfium's
MAX_CRASHES = 3  # pages of a document that may end the process before the rest is given up

_thread_state = threading.local()


class PdfPage(NamedTuple):
    """What is on a page; a blank one has neither text nor picture."""

    text: str
    image: Image.Image | None


class WorkerExited(Exception):
    """The process has ended, in the middle of a document."""


class PdfDocument:
    """An open PDF: its pages, how many they are, and when it was made as it says.

    Where its end is missing, it is `mended`: the pages are those that are whole.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._crash_count = 0
        head = self._open_in_worker()
        self.page_count: int = head["pages"]
        self.creation_date: str = head["created"]
        self.repaired: bool = head["mended"]

    def read_pages(self, count: int, *, min_side: int, min_long_side: int) -> Iterator[PdfPage | MediaError]:
        """Yield the first `count` pages, or why one cannot be read; pictures' sides are at least so long.

        The next page is drawn while the one before is looked at.
        """
        asked = partial(self._request_page, min_side=min_side, min_long_side=min_long_side)
        begun = count > 0 and asked(0)
        for number in range(count):
            try:
                if not begun:
                    raise WorkerExited("left out, as others before it took too much")
                answer, picture = _thread_worker().receive()
            except WorkerExited as error:
                self._crash_count += 1
                begun = (
                    number + 1 < count
                    and self._crash_count < MAX_CRASHES
                    and self._reopen()
                    and asked(number + 1)
                )
                yield MediaError(str(error))
                continue
            begun = number + 1 < count and asked(number + 1)
            yield MediaError(answer["error"]) if "error" in answer else _to_page(answer, picture)

    def read_page(self, number: int, *, min_side: int, min_long_side: int) -> PdfPage:
        """Return one page, counted from 1; its picture's sides are at least so long. Raises MediaError."""
        if self._crash_count >= MAX_CRASHES:
            raise MediaError("left out, as others before it took too much")
        try:
            answer, picture = _thread_worker().request(
                page=number - 1, min_side=min_side, min_long_side=min_long_side
            )
        except WorkerExited as error:
            self._crash_count += 1
            self._reopen()
            raise MediaError(str(error)) from error
        if "error" in answer:
            raise MediaError(answer["error"])
        return _to_page(answer, picture)

    def _request_page(self, page: int, min_side: int, min_long_side: int) -> bool:
        """Ask for a page; returns whether it will be answered."""
        try:
            _thread_worker().send(page=page, min_side=min_side, min_long_side=min_long_side)
        except WorkerExited:
            return False
        return True

    def _reopen(self) -> bool:
        """Open the document again, in a new process; returns whether that worked."""
        try:
            self._open_in_worker()
        except MediaError:
            return False
        return True

    def _open_in_worker(self) -> dict[str, Any]:
        try:
            answer, _ = _thread_worker().request(self._file, open=True)
        except WorkerExited as error:
            raise MediaError(str(error)) from error
        if "error" in answer:
            _thread_state.worker = None  # pdfium would give this reason for the next document too
            raise MediaError(_open_error(answer, self._file))
        return answer

    def close(self) -> None:
        """Let go of the document."""
        with suppress(WorkerExited):
            if _has_worker():
                _thread_worker().request(open=False)


@contextmanager
def open_pdf(file: BinaryIO) -> Iterator[PdfDocument]:
    """Open a PDF and, at the end, close it; raises MediaError with a reason a person understands."""
    with _with_descriptor(file) as there:
        document = PdfDocument(there)
        try:
            yield document
        finally:
            document.close()


@contextmanager
def _with_descriptor(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file that has a descriptor, as one in memory has not."""
    try:
        file.fileno()
    except (UnsupportedOperation, AttributeError):
        with TemporaryFile() as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy)
            copy.flush()
            yield copy
    else:
        yield file


class _WorkerProcess:
    """The process, started when it is first asked; it ends when this is let go."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-W", "ignore", pdf_worker.__file__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for clew, which lets go of this when it ends
            )
        self._connection = Connection(ours.detach())
        self._pending_count = 0  # requests without an answer
        self._finalizer = weakref.finalize(self, _stop_process, self._connection, self._process)

    @property
    def is_alive(self) -> bool:
        """Say whether it can be asked."""
        return self._finalizer.alive

    def request(self, file: BinaryIO | None = None, **request: Any) -> tuple[dict[str, Any], bytes]:
        """Send a request, with a file if there is one, and return its answer; raises Ended."""
        while self._pending_count:
            self.receive()
        self.send(file, **request)
        return self.receive()

    def send(self, file: BinaryIO | None = None, **request: Any) -> None:
        """Send a request that `receive` will have the answer to; raises Ended."""
        with self._detect_exit():
            self._connection.send_bytes(json.dumps(request).encode())
            if file is not None:
                send_handle(self._connection, file.fileno(), self._process.pid)
        self._pending_count += 1

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Return the answer to the oldest request that has none yet; raises Ended."""
        with self._detect_exit():
            answer = json.loads(self._connection.recv_bytes()), self._connection.recv_bytes()
        self._pending_count -= 1
        return answer

    @contextmanager
    def _detect_exit(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            self._finalizer()
            raise WorkerExited(_exit_reason(self._process.returncode)) from error


def _to_page(answer: dict[str, Any], pixels: bytes) -> PdfPage:
    width, height = answer["size"]
    return PdfPage(answer["text"], Image.frombytes("RGB", (width, height), pixels) if pixels else None)


def _thread_worker() -> _WorkerProcess:
    """Return this thread's own process; it ends with the thread."""
    if not _has_worker():
        _thread_state.worker = _WorkerProcess()
    worker: _WorkerProcess = _thread_state.worker
    return worker


def _has_worker() -> bool:
    worker: _WorkerProcess | None = getattr(_thread_state, "worker", None)
    return worker is not None and worker.is_alive


def _stop_process(connection: Connection, process: "subprocess.Popen[bytes]") -> None:
    connection.close()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _exit_reason(exit_code: int | None) -> str:
    if exit_code == -signal.SIGALRM:
        return f"takes more than {pdf_worker.TIMEOUT_SECONDS} seconds"
    return f"broken, or takes more than {pdf_worker.MAX_MEMORY_BYTES // 10**9} GB of memory"


def _open_error(answer: dict[str, Any], file: BinaryIO) -> str:
    """Say why a document cannot be opened."""
    if answer["code"] in ERROR_MESSAGES:
        return ERROR_MESSAGES[answer["code"]]
    file.seek(0)
    start = file.read(1024)
    if not start:
        return "empty file"
    if b"%PDF-" in start:
        return "damaged: it begins as PDF and goes on as none"
    return f"not a PDF: it begins with {start[:8]!r}"
