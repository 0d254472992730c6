"""Read the pages of PDFs in sandboxed subprocesses: pdfium is not thread-safe, and has no limits."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from retrieval.errors import MediaError
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits
from retrieval.media.sandbox import ProcessEnded, RequestFailed, SandboxedProcess, SandboxPool, shared_pool

PDFIUM_ERRORS = {  # by error code of FPDF_GetLastError
    0: "no pages in it",
    4: "needs a password",
    5: "locked in a way clew does not know",
}
MAX_CRASHES = 3  # per document; then its other pages are skipped
SKIPPED_REASON = "skipped, because earlier pages took too much time or memory"
WORKER_SCRIPT = Path(__file__).with_name("pdf_worker.py")


class PdfPage(NamedTuple):
    """The text and the image of a page; a blank page has neither."""

    text: str
    image: Image.Image | None
    image_share: float = 0.0  # of the page, which images cover; 0 for a page with more than a little text


class PdfDocument:
    """An open PDF; if its end is missing, it is `repaired`: it has the pages that are complete."""

    def __init__(
        self, file: BinaryIO, process: SandboxedProcess, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> None:
        self._file, self._process = file, process
        self._crash_count, self._seconds = 0, 0.0  # processor time of the pages so far
        summary = self._open()
        self.page_count: int = summary["pages"]
        self.creation_date: str = summary["created"]
        self.repaired: bool = summary["repaired"]
        self._max_seconds = limits.max_pdf_seconds(self.page_count)

    def read_pages(self, count: int, *, min_side: int, min_long_side: int) -> Iterator[PdfPage | MediaError]:
        """Yield the first `count` pages, or the reason why a page cannot be read.

        Both sides of an image have at least `min_side` pixels, its longer side at least `min_long_side`. The
        next page is rendered while the caller uses the one before.
        """
        page: PdfPage | MediaError
        requested = count > 0 and self._request_page(0, min_side, min_long_side)
        for index in range(count):
            has_next = index + 1 < count
            try:
                self._check_time()
                if not requested:
                    raise ProcessEnded(SKIPPED_REASON)
                page = self._to_page(*self._process.receive())
            except MediaError as error:
                page, has_next = error, False
            except RequestFailed as error:
                page = MediaError(str(error))
            except ProcessEnded as error:
                page = MediaError(str(error))
                self._crash_count += 1
                has_next = has_next and self._crash_count < MAX_CRASHES and self._reopen()
            requested = has_next and self._request_page(index + 1, min_side, min_long_side)
            yield page

    def read_page(self, number: int, *, min_side: int, min_long_side: int) -> PdfPage:
        """Return one page, numbered from 1; raises MediaError. The sides are those of `read_pages`."""
        if self._crash_count >= MAX_CRASHES:
            raise MediaError(SKIPPED_REASON)
        self._check_time()
        try:
            return self._to_page(*self._process.request(_page_request(number - 1, min_side, min_long_side)))
        except RequestFailed as error:
            raise MediaError(str(error)) from error
        except ProcessEnded as error:
            self._crash_count += 1
            self._reopen()
            raise MediaError(str(error)) from error

    def close(self) -> None:
        """Close the document in the subprocess, which ends if it is still drawing a page."""
        if self._process.is_idle:
            with suppress(ProcessEnded, RequestFailed):
                self._process.request({"open": False})

    def _check_time(self) -> None:
        """Raise MediaError if the pages so far took too much processor time.

        Time in which the subprocess waits for clew does not count.
        """
        if self._seconds > self._max_seconds:
            raise MediaError(
                f"skipped, because the pages before took the time limit of {self._max_seconds:g} seconds"
            )

    def _to_page(self, answer: dict[str, Any], pixels: bytes | bytearray) -> PdfPage:
        self._seconds += answer["seconds"]
        width, height = answer["size"]
        image = Image.frombytes("RGB", (width, height), pixels) if pixels else None
        return PdfPage(answer["text"], image, answer["image_share"])

    def _request_page(self, index: int, min_side: int, min_long_side: int) -> bool:
        """Request a page; return False if the subprocess has ended."""
        try:
            self._process.send(_page_request(index, min_side, min_long_side))
        except ProcessEnded:
            return False
        return True

    def _reopen(self) -> bool:
        """Open the document in a new subprocess; return False if this fails."""
        try:
            self._open()
        except MediaError:
            return False
        return True

    def _open(self) -> dict[str, Any]:
        try:
            return self._process.request({"open": True}, self._file)[0]
        except ProcessEnded as error:
            raise MediaError(str(error)) from error
        except RequestFailed as error:
            self._process.close()  # pdfium would report the same error for the next document
            raise MediaError(_open_error(error, self._file)) from error


def pdf_pool(limits: DecodeLimits = DEFAULT_LIMITS) -> SandboxPool:
    """Return the subprocesses that read PDFs within limits."""
    return shared_pool(WORKER_SCRIPT, limits)


@contextmanager
def open_pdf(
    file: BinaryIO, limits: DecodeLimits = DEFAULT_LIMITS, stop: Event | None = None
) -> Iterator[PdfDocument]:
    """Open a PDF and close it at the end; raises MediaError, and CancelledError when `stop` is set."""
    with pdf_pool(limits).borrow(stop) as process:
        document = PdfDocument(file, process, limits)
        try:
            yield document
        finally:
            document.close()


def _page_request(index: int, min_side: int, min_long_side: int) -> dict[str, int]:
    return {"page": index, "min_side": min_side, "min_long_side": min_long_side}


def _open_error(error: RequestFailed, file: BinaryIO) -> str:
    """Return why a document cannot be opened."""
    if error.code in PDFIUM_ERRORS:
        return PDFIUM_ERRORS[error.code]
    file.seek(0)
    start = file.read(1024)
    if not start:
        return "empty file"
    if b"%PDF-" in start:
        return "damaged: it begins as a PDF but is not valid"
    return f"not a PDF: it begins with {start[:8]!r}"
