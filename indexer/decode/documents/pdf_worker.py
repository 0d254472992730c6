"""Read pages of PDFs with pdfium; runs in a sandboxed subprocess, see `indexer.decode.documents.pdf_process`.

A hundred kilobytes of PDF can take gigabytes of memory or hours, which pdfium does not limit.
"""

import re
from contextlib import suppress
from time import process_time
from typing import Any, BinaryIO

MAX_PAGE_PIXELS = 4_000_000  # a page can be a meter high and a millimeter wide
MAX_PAGE_CHARACTERS = 500_000
MAX_REPAIR_BYTES = 200_000_000  # read of a document without its end
MAX_OBJECT_BYTES = 20_000  # of a page object
UNUSED_OBJECT_NUMBER = 4_000_000  # larger than the object numbers of real documents
FORMAT_ERROR = 3  # pdfium's error code of a damaged document
OBJECT_START = re.compile(rb"\b(\d{1,7})\s+0\s+obj\b")
PAGE_TYPE = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
# A page whose text layer is shorter may be a scan: the text of a stamp or of a header.
MAX_STAMP_CHARACTERS = 200
MAX_FORM_DEPTH = 3  # of images in a page
BLANK_CHECK_SIDE = 200  # pixels of the longer side of a page that is checked for marks
WHITE_VALUES = bytes(range(250, 256))  # bytes of a page without marks
PALE_VALUES = bytes(range(64, 256))  # bytes of a page whose marks may be an effect of its scale


class PdfiumDocument:
    """An open PDF. Without its end, it is repaired: it has the pages that are complete."""

    def __init__(self, file: BinaryIO) -> None:
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
        with suppress(Exception):  # a document with a broken form can still be read
            self.pdf.init_forms()

    def summary(self) -> dict[str, Any]:
        """Return the number of pages, the creation date, and whether the document was repaired."""
        created = ""
        with suppress(Exception):
            created = self.pdf.get_metadata_value("CreationDate")
        return {"pages": len(self.pdf), "created": created, "repaired": self.repaired}

    def read_page(self, page: int, min_side: int, min_long_side: int) -> tuple[dict[str, Any], bytes]:
        """Return text, size and processor time of a page, and its pixels as RGB; no pixels if it is blank.

        A page that cannot be rendered may still have text. For a page with little text, the share of it that
        images cover is returned too.
        """
        started = process_time()
        opened = self.pdf[page]
        try:
            text = _page_text(opened)
            size, pixels = (0, 0), b""
            with suppress(Exception):
                size, pixels = _render(opened, min_side, min_long_side)
            if not text.strip() and _is_blank(opened, pixels):
                pixels = b""
            image_share = 0.0
            if len(text.strip()) < MAX_STAMP_CHARACTERS:
                with suppress(Exception):
                    image_share = _image_share(opened)
            seconds = process_time() - started
            return {"text": text, "size": size, "image_share": image_share, "seconds": seconds}, pixels
        finally:
            opened.close()

    def close(self) -> None:
        """Close the document and its file."""
        self.pdf.close()
        self.file.close()


def _repair(file: BinaryIO) -> bytes:
    """Return the data with a new catalog of its complete pages; empty bytes if it has none."""
    file.seek(0)
    data = file.read(MAX_REPAIR_BYTES)
    if b"%PDF-" not in data[:1024]:
        return b""
    page_numbers = [
        start[1]
        for start in OBJECT_START.finditer(data)
        if PAGE_TYPE.search(data, start.end(), _object_end(data, start.end()))
    ]
    kids = b" ".join(number + b" 0 R" for number in page_numbers)
    pages = b"%d 0 obj\n<</Type/Pages/Kids[%s]/Count %d>>\nendobj\n" % (
        UNUSED_OBJECT_NUMBER,
        kids,
        len(page_numbers),
    )
    catalog = b"%d 0 obj\n<</Type/Catalog/Pages %d 0 R>>\nendobj\n" % (
        UNUSED_OBJECT_NUMBER + 1,
        UNUSED_OBJECT_NUMBER,
    )
    trailer = b"trailer\n<</Root %d 0 R/Size %d>>\n" % (UNUSED_OBJECT_NUMBER + 1, UNUSED_OBJECT_NUMBER + 2)
    return data + b"\nendobj\n" + pages + catalog + trailer if page_numbers else b""


def _object_end(data: bytes, start: int) -> int:
    """Return the end of an object that starts here; `start` if it is too long or has no end."""
    end = data.find(b"endobj", start, start + MAX_OBJECT_BYTES)
    return end if end >= 0 else start


def _page_text(page: Any) -> str:
    try:
        text = page.get_textpage()
    except Exception:  # the page may still be rendered
        return ""
    try:
        count = min(text.count_chars(), MAX_PAGE_CHARACTERS)
        return str(text.get_text_range(0, count)) if count > 0 else ""
    finally:
        text.close()


def _image_share(page: Any) -> float:
    """Return the share of a page, 0 to 1, that its images cover; those that overlap count twice."""
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    left, bottom, right, top = page.get_bbox()
    covered = 0.0
    for image in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE], max_depth=MAX_FORM_DEPTH):
        x1, y1, x2, y2 = image.get_bounds()
        covered += max(0.0, min(x2, right) - max(x1, left)) * max(0.0, min(y2, top) - max(y1, bottom))
    return float(min(1.0, covered / max(1.0, (right - left) * (top - bottom))))


def _is_blank(page: Any, pixels: bytes) -> bool:
    """Return True if a page without text has no marks.

    The result does not depend on the size of `pixels`: in doubt, the page is rendered at one fixed size.
    """
    if pixels.translate(None, PALE_VALUES):
        return False
    try:
        _, small_pixels = _render(page, 0, BLANK_CHECK_SIDE)
    except Exception:
        return False
    return not small_pixels.translate(None, WHITE_VALUES)


def _render(page: Any, min_side: int, min_long_side: int) -> tuple[tuple[int, int], bytes]:
    """Return the size and the RGB bytes of a page, at the smallest scale with long enough sides."""
    width, height = (max(1.0, side) for side in page.get_size())
    scale = max(min_side / min(width, height), min_long_side / max(width, height))
    scale = min(scale, (MAX_PAGE_PIXELS / (width * height)) ** 0.5, MAX_PAGE_PIXELS / max(width, height))
    bitmap = page.render(scale=scale, rev_byteorder=True)
    try:
        buffer, stride, row_bytes = memoryview(bitmap.buffer), bitmap.stride, 3 * bitmap.width
        starts = range(0, bitmap.height * stride, stride)
        return (bitmap.width, bitmap.height), b"".join(buffer[at : at + row_bytes] for at in starts)
    finally:
        bitmap.close()


class PdfHandler:
    """The handler of requests, with the document that is open."""

    def __init__(self) -> None:
        self.document: PdfiumDocument | None = None

    def __call__(self, request: dict[str, Any], file: BinaryIO | None) -> tuple[dict[str, Any], bytes]:
        """Answer a request for a page, or open or close a document."""
        if "page" in request:
            assert self.document is not None, "no document is open"
            return self.document.read_page(**request)
        if self.document is not None:
            self.document.close()
        self.document = None if file is None else PdfiumDocument(file)
        return {} if self.document is None else self.document.summary(), b""


def create_handler() -> PdfHandler:
    """Return the handler of requests."""
    return PdfHandler()
