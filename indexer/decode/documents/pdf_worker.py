"""Read the pages of PDFs in a process of its own, which a broken file may end without ending clew.

pdfium is fast, but no file has a bound in it: a hundred kilobytes can ask for gigabytes or for hours, and it
is not safe in threads. Here the system ends what takes too much. Run as a script by `indexer.pdf`: a
connection's descriptor is its argument, on which come requests in JSON and documents' descriptors.
"""

import json
import os
import re
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any

MAX_MEMORY_BYTES = 2_000_000_000  # bytes
TIMEOUT_SECONDS = 20  # for a page, or to open a document
MAX_PAGE_PIXELS = 4_000_000  # of a page: one can be a metre high and a millimetre wide
MAX_PAGE_CHARACTERS = 500_000  # of a page
MAX_REPAIR_BYTES = 200_000_000  # bytes of a document that is mended
MAX_OBJECT_BYTES = 20_000  # bytes of what describes a page
UNUSED_OBJECT_NUMBER = 4_000_000  # the number of an object that no document has
FORMAT_ERROR = 3  # pdfium's code for what begins as PDF and goes on as none
OBJECT_START = re.compile(rb"\b(\d{1,7})\s+0\s+obj\b")
PAGE_TYPE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
BLANK_CHECK_SIZE = 200  # the size in pixels at which a page without text is looked at
WHITE_VALUES = bytes(range(250, 256))  # what is no mark on it
PALE_VALUES = bytes(range(64, 256))  # what may be none in another size


class PdfiumDocument:
    """An open PDF; closed, nothing of it is left."""

    def __init__(self, file: Any) -> None:
        import pypdfium2

        self.file = file
        self.repaired = False
        try:
            self.pdf = pypdfium2.PdfDocument(file)
        except pypdfium2.PdfiumError as error:
            with file:
                data = _repair(file) if error.err_code == FORMAT_ERROR else b""
            if not data:
                raise
            self.pdf = pypdfium2.PdfDocument(data)
            self.repaired = True
        with suppress(Exception):  # a form that cannot be filled in can still be looked at
            self.pdf.init_forms()

    def summary(self) -> dict[str, Any]:
        """Return how many pages there are, and when the document was made, as it says."""
        created = ""
        with suppress(Exception):
            created = self.pdf.get_metadata_value("CreationDate")
        return {"pages": len(self.pdf), "created": created, "mended": self.repaired}

    def read_page(self, page: int, min_side: int, min_long_side: int) -> tuple[dict[str, Any], bytes]:
        """Return a page's text, the size of its picture and the picture, whose sides are at least so long.

        A page that is blank has none of them. What cannot be drawn may still have text.
        """
        opened = self.pdf[page]
        try:
            text = _page_text(opened)
            size, picture = (0, 0), b""
            with suppress(Exception):
                size, picture = _render(opened, min_side, min_long_side)
            if not text.strip() and _is_blank(opened, picture):
                picture = b""
            return {"text": text, "size": size}, picture
        finally:
            opened.close()

    def close(self) -> None:
        """Let go of the document and its file."""
        self.pdf.close()
        self.file.close()


def _repair(file: Any) -> bytes:
    """Return a document whose end is missing with a new one, in which its whole pages are; empty without."""
    file.seek(0)
    data: bytes = file.read(MAX_REPAIR_BYTES)
    if b"%PDF-" not in data[:1024]:
        return b""
    leaves = [
        found[1]
        for found in OBJECT_START.finditer(data)
        if PAGE_TYPE.search(data, found.end(), _object_end(data, found.end()))
    ]
    kids = b" ".join(leaf + b" 0 R" for leaf in leaves)
    pages = b"%d 0 obj\n<</Type/Pages/Kids[%s]/Count %d>>\nendobj\n" % (
        UNUSED_OBJECT_NUMBER,
        kids,
        len(leaves),
    )
    catalog = b"%d 0 obj\n<</Type/Catalog/Pages %d 0 R>>\nendobj\n" % (
        UNUSED_OBJECT_NUMBER + 1,
        UNUSED_OBJECT_NUMBER,
    )
    trailer = b"trailer\n<</Root %d 0 R/Size %d>>\n" % (UNUSED_OBJECT_NUMBER + 1, UNUSED_OBJECT_NUMBER + 2)
    return data + b"\nendobj\n" + pages + catalog + trailer if leaves else b""


def _object_end(data: bytes, start: int) -> int:
    """Return where an object ends, of a long one a place within; before it begins where it does not end."""
    end = data.find(b"endobj", start, start + MAX_OBJECT_BYTES)
    return end if end >= 0 else start


def _page_text(page: Any) -> str:
    try:
        text = page.get_textpage()
    except Exception:  # its picture may be good all the same
        return ""
    try:
        count = min(text.count_chars(), MAX_PAGE_CHARACTERS)
        return str(text.get_text_range(0, count)) if count > 0 else ""
    finally:
        text.close()


def _is_blank(page: Any, pixels: bytes) -> bool:
    """Say whether there is nothing on a page; in doubt it is looked at in one size, whoever asks."""
    if pixels.translate(None, PALE_VALUES):
        return False
    try:
        _, picture = _render(page, 0, BLANK_CHECK_SIZE)
    except Exception:
        return False
    return not picture.translate(None, WHITE_VALUES)


def _render(page: Any, min_side: int, min_long_side: int) -> tuple[tuple[int, int], bytes]:
    """Return size and RGB of a page, just so large that both sides are as long as they must be."""
    width, height = (max(1.0, side) for side in page.get_size())
    scale = max(min_side / min(width, height), min_long_side / max(width, height))
    scale = min(scale, (MAX_PAGE_PIXELS / (width * height)) ** 0.5, MAX_PAGE_PIXELS / max(width, height))
    bitmap = page.render(scale=scale, rev_byteorder=True)
    try:
        size, wide = (bitmap.width, bitmap.height), bitmap.width * 3
        rows = memoryview(bitmap.buffer)
        step = bitmap.stride
        return size, b"".join(bytes(rows[y * step : y * step + wide]) for y in range(bitmap.height))
    finally:
        bitmap.close()


def serve(channel: Connection) -> None:
    """Answer until the other side is gone; of what goes wrong, say why."""
    document: PdfiumDocument | None = None
    while True:
        try:
            request = json.loads(channel.recv_bytes())
        except EOFError:
            return
        answer: dict[str, Any]
        picture = b""
        signal.alarm(TIMEOUT_SECONDS)  # ends the process, in the middle of pdfium too
        try:
            if "page" in request:
                assert document is not None, "a document is opened before its pages"
                answer, picture = document.read_page(**request)
            else:
                file = os.fdopen(recv_handle(channel), "rb") if request["open"] else None
                if document is not None:
                    document.close()
                document = None if file is None else PdfiumDocument(file)
                answer = {} if document is None else document.summary()
        except Exception as error:
            answer = {"error": str(error), "code": getattr(error, "err_code", None)}
        channel.send_bytes(json.dumps(answer).encode())
        channel.send_bytes(picture)
        signal.alarm(0)


if __name__ == "__main__":
    with suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(Connection(int(sys.argv[1])))
