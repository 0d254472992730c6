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

REASONS = {0: "no pages in it", 4: "needs a password", 5: "locked in a way clew does not know"}  # pdfium's
STRIKES = 3  # pages of a document that may end the process before the rest is given up

_here = threading.local()


class Page(NamedTuple):
    """What is on a page; a blank one has neither text nor picture."""

    text: str
    picture: Image.Image | None


class Ended(Exception):
    """The process has ended, in the middle of a document."""


class Document:
    """An open PDF: its pages, how many they are, and when it was made as it says.

    Where its end is missing, it is `mended`: the pages are those that are whole.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._strikes = 0
        head = self._open()
        self.pages: int = head["pages"]
        self.created: str = head["created"]
        self.mended: bool = head["mended"]

    def read(self, count: int, *, shorter: int, longer: int) -> Iterator[Page | MediaError]:
        """Yield the first `count` pages, or why one cannot be read; pictures' sides are at least so long.

        The next page is drawn while the one before is looked at.
        """
        asked = partial(self._ask_for, shorter=shorter, longer=longer)
        begun = count > 0 and asked(0)
        for number in range(count):
            try:
                if not begun:
                    raise Ended("left out, as others before it took too much")
                answer, picture = _worker().receive()
            except Ended as error:
                self._strikes += 1
                begun = (
                    number + 1 < count and self._strikes < STRIKES and self._is_back() and asked(number + 1)
                )
                yield MediaError(str(error))
                continue
            begun = number + 1 < count and asked(number + 1)
            yield MediaError(answer["error"]) if "error" in answer else _page(answer, picture)

    def page(self, number: int, *, shorter: int, longer: int) -> Page:
        """Return one page, counted from 1; its picture's sides are at least so long. Raises MediaError."""
        if self._strikes >= STRIKES:
            raise MediaError("left out, as others before it took too much")
        try:
            answer, picture = _worker().ask(page=number - 1, shorter=shorter, longer=longer)
        except Ended as error:
            self._strikes += 1
            self._is_back()
            raise MediaError(str(error)) from error
        if "error" in answer:
            raise MediaError(answer["error"])
        return _page(answer, picture)

    def _ask_for(self, page: int, shorter: int, longer: int) -> bool:
        """Ask for a page; returns whether it will be answered."""
        try:
            _worker().send(page=page, shorter=shorter, longer=longer)
        except Ended:
            return False
        return True

    def _is_back(self) -> bool:
        """Open the document again, in a new process; returns whether that worked."""
        try:
            self._open()
        except MediaError:
            return False
        return True

    def _open(self) -> dict[str, Any]:
        try:
            answer, _ = _worker().ask(self._file, open=True)
        except Ended as error:
            raise MediaError(str(error)) from error
        if "error" in answer:
            _here.worker = None  # pdfium would give this reason for the next document too
            raise MediaError(_reason(answer, self._file))
        return answer

    def close(self) -> None:
        """Let go of the document."""
        with suppress(Ended):
            if _is_there():
                _worker().ask(open=False)


@contextmanager
def open_pdf(file: BinaryIO) -> Iterator[Document]:
    """Open a PDF and, at the end, close it; raises MediaError with a reason a person understands."""
    with _on_disk(file) as there:
        document = Document(there)
        try:
            yield document
        finally:
            document.close()


@contextmanager
def _on_disk(file: BinaryIO) -> Iterator[BinaryIO]:
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


class _Worker:
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
        self._channel = Connection(ours.detach())
        self._waiting = 0  # requests without an answer
        self._end = weakref.finalize(self, _end, self._channel, self._process)

    @property
    def alive(self) -> bool:
        """Say whether it can be asked."""
        return self._end.alive

    def ask(self, file: BinaryIO | None = None, **request: Any) -> tuple[dict[str, Any], bytes]:
        """Send a request, with a file if there is one, and return its answer; raises Ended."""
        while self._waiting:
            self.receive()
        self.send(file, **request)
        return self.receive()

    def send(self, file: BinaryIO | None = None, **request: Any) -> None:
        """Send a request that `receive` will have the answer to; raises Ended."""
        with self._alive():
            self._channel.send_bytes(json.dumps(request).encode())
            if file is not None:
                send_handle(self._channel, file.fileno(), self._process.pid)
        self._waiting += 1

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Return the answer to the oldest request that has none yet; raises Ended."""
        with self._alive():
            answer = json.loads(self._channel.recv_bytes()), self._channel.recv_bytes()
        self._waiting -= 1
        return answer

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            self._end()
            raise Ended(_end_of(self._process.returncode)) from error


def _page(answer: dict[str, Any], picture: bytes) -> Page:
    width, height = answer["size"]
    return Page(answer["text"], Image.frombytes("RGB", (width, height), picture) if picture else None)


def _worker() -> _Worker:
    """Return this thread's own process; it ends with the thread."""
    if not _is_there():
        _here.worker = _Worker()
    worker: _Worker = _here.worker
    return worker


def _is_there() -> bool:
    worker: _Worker | None = getattr(_here, "worker", None)
    return worker is not None and worker.alive


def _end(channel: Connection, process: "subprocess.Popen[bytes]") -> None:
    channel.close()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_of(code: int | None) -> str:
    if code == -signal.SIGALRM:
        return f"takes more than {pdf_worker.SECONDS} seconds"
    return f"broken, or takes more than {pdf_worker.MEMORY // 10**9} GB of memory"


def _reason(answer: dict[str, Any], file: BinaryIO) -> str:
    """Say why a document cannot be opened."""
    if answer["code"] in REASONS:
        return REASONS[answer["code"]]
    file.seek(0)
    start = file.read(1024)
    if not start:
        return "empty file"
    if b"%PDF-" in start:
        return "damaged: it begins as PDF and goes on as none"
    return f"not a PDF: it begins with {start[:8]!r}"
