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

MEMORY = 2_000_000_000  # bytes
SECONDS = 20  # for a page, or to open a document
MOST_PIXELS = 4_000_000  # of a page: one can be a metre high and a millimetre wide
MOST_LETTERS = 500_000  # of a page
MENDED = 200_000_000  # bytes of a document that is mended
LONGEST = 20_000  # bytes of what describes a page
LAST = 4_000_000  # the number of an object that no document has
FORMAT = 3  # pdfium's code for what begins as PDF and goes on as none
OBJECT = re.compile(rb"\b(\d{1,7})\s+0\s+obj\b")
LEAF = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
GLANCE = 200  # the size in pixels at which a page without text is looked at
WHITE = bytes(range(250, 256))  # what is no mark on it
PALE = bytes(range(64, 256))  # what may be none in another size


class Document:
    """An open PDF; closed, nothing of it is left."""

    def __init__(self, file: Any) -> None:
        import pypdfium2

        self.file = file
        self.mended = False
        try:
            self.pdf = pypdfium2.PdfDocument(file)
        except pypdfium2.PdfiumError as error:
            with file:
                data = _mend(file) if error.err_code == FORMAT else b""
            if not data:
                raise
            self.pdf = pypdfium2.PdfDocument(data)
            self.mended = True
        with suppress(Exception):  # a form that cannot be filled in can still be looked at
            self.pdf.init_forms()

    def head(self) -> dict[str, Any]:
        """Return how many pages there are, and when the document was made, as it says."""
        created = ""
        with suppress(Exception):
            created = self.pdf.get_metadata_value("CreationDate")
        return {"pages": len(self.pdf), "created": created, "mended": self.mended}

    def page(self, page: int, shorter: int, longer: int) -> tuple[dict[str, Any], bytes]:
        """Return a page's text, the size of its picture and the picture, whose sides are at least so long.

        A page that is blank has none of them. What cannot be drawn may still have text.
        """
        opened = self.pdf[page]
        try:
            text = _text(opened)
            size, picture = (0, 0), b""
            with suppress(Exception):
                size, picture = _draw(opened, shorter, longer)
            if not text.strip() and _is_blank(opened, picture):
                picture = b""
            return {"text": text, "size": size}, picture
        finally:
            opened.close()

    def close(self) -> None:
        """Let go of the document and its file."""
        self.pdf.close()
        self.file.close()


def _mend(file: Any) -> bytes:
    """Return a document whose end is missing with a new one, in which its whole pages are; empty without."""
    file.seek(0)
    data: bytes = file.read(MENDED)
    if b"%PDF-" not in data[:1024]:
        return b""
    leaves = [
        found[1] for found in OBJECT.finditer(data) if LEAF.search(data, found.end(), _end(data, found.end()))
    ]
    kids = b" ".join(leaf + b" 0 R" for leaf in leaves)
    pages = b"%d 0 obj\n<</Type/Pages/Kids[%s]/Count %d>>\nendobj\n" % (LAST, kids, len(leaves))
    catalog = b"%d 0 obj\n<</Type/Catalog/Pages %d 0 R>>\nendobj\n" % (LAST + 1, LAST)
    trailer = b"trailer\n<</Root %d 0 R/Size %d>>\n" % (LAST + 1, LAST + 2)
    return data + b"\nendobj\n" + pages + catalog + trailer if leaves else b""


def _end(data: bytes, start: int) -> int:
    """Return where an object ends, of a long one a place within; before it begins where it does not end."""
    end = data.find(b"endobj", start, start + LONGEST)
    return end if end >= 0 else start


def _text(page: Any) -> str:
    try:
        text = page.get_textpage()
    except Exception:  # its picture may be good all the same
        return ""
    try:
        count = min(text.count_chars(), MOST_LETTERS)
        return str(text.get_text_range(0, count)) if count > 0 else ""
    finally:
        text.close()


def _is_blank(page: Any, drawn: bytes) -> bool:
    """Say whether there is nothing on a page; in doubt it is looked at in one size, whoever asks."""
    if drawn.translate(None, PALE):
        return False
    try:
        _, picture = _draw(page, 0, GLANCE)
    except Exception:
        return False
    return not picture.translate(None, WHITE)


def _draw(page: Any, shorter: int, longer: int) -> tuple[tuple[int, int], bytes]:
    """Return size and RGB of a page, just so large that both sides are as long as they must be."""
    width, height = (max(1.0, side) for side in page.get_size())
    scale = max(shorter / min(width, height), longer / max(width, height))
    scale = min(scale, (MOST_PIXELS / (width * height)) ** 0.5, MOST_PIXELS / max(width, height))
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
    document: Document | None = None
    while True:
        try:
            request = json.loads(channel.recv_bytes())
        except EOFError:
            return
        answer: dict[str, Any]
        picture = b""
        signal.alarm(SECONDS)  # ends the process, in the middle of pdfium too
        try:
            if "page" in request:
                assert document is not None, "a document is opened before its pages"
                answer, picture = document.page(**request)
            else:
                file = os.fdopen(recv_handle(channel), "rb") if request["open"] else None
                if document is not None:
                    document.close()
                document = None if file is None else Document(file)
                answer = {} if document is None else document.head()
        except Exception as error:
            answer = {"error": str(error), "code": getattr(error, "err_code", None)}
        channel.send_bytes(json.dumps(answer).encode())
        channel.send_bytes(picture)
        signal.alarm(0)


if __name__ == "__main__":
    with suppress(ValueError, OSError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(Connection(int(sys.argv[1])))
