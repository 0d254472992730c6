"""Render an image or a page of a PDF as WebP for a screen, and find words on a page, in a sandbox."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from retrieval.errors import MediaError
from retrieval.media.limits import DEFAULT_LIMITS, DecodeLimits

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfPage

WEBP_QUALITY = 85
WEBP_EFFORT = 2  # 0 to 6; a person waits
MAX_WORD_BOXES = 500  # of a page
GRID_SIDE = 100_000  # pixels of the page on which PDFium locates words
Share = tuple[float, float, float, float]  # left, top, width and height, as shares of the page


def render_image(file: BinaryIO, side: int, limits: DecodeLimits = DEFAULT_LIMITS) -> bytes:
    """Return an image as WebP with at most `side` pixels on its longer side; raises MediaError."""
    from retrieval.media.sandboxed_calls import call_sandboxed  # late: the subprocess does without it

    return call_sandboxed(draw_image, file, side, limits, limits=limits)


def render_page(file: BinaryIO, number: int, side: int, limits: DecodeLimits = DEFAULT_LIMITS) -> bytes:
    """Return a page of a PDF, from 1, as WebP with `side` pixels on its longer side; raises MediaError."""
    from retrieval.media.sandboxed_calls import call_sandboxed

    return call_sandboxed(draw_page, file, number, side, limits=limits)


def find_words(
    file: BinaryIO, number: int, words: Sequence[str], limits: DecodeLimits = DEFAULT_LIMITS
) -> list[Share]:
    """Return where words begin a word on a page of a PDF, from 1; raises MediaError. Scans have no text."""
    from retrieval.media.sandboxed_calls import call_sandboxed

    return call_sandboxed(locate_words, file, number, tuple(words), limits=limits)


def draw_image(file: BinaryIO, side: int, limits: DecodeLimits) -> bytes:
    """Do the work of `render_image` in this process."""
    from retrieval.media.images.loader import load_image

    return _as_webp(load_image(file, min_side=1, min_long_side=side, limits=limits), side)


def draw_page(file: BinaryIO, number: int, side: int) -> bytes:
    """Do the work of `render_page` in this process."""
    import pypdfium2

    try:
        page = _page(file, number)
        width, height = (max(1.0, length) for length in page.get_size())
        return _as_webp(page.render(scale=side / max(width, height)).to_pil(), side)
    except pypdfium2.PdfiumError as error:
        raise MediaError(f"the page cannot be rendered: {error}") from error


def locate_words(file: BinaryIO, number: int, words: Sequence[str]) -> list[Share]:
    """Do the work of `find_words` in this process."""
    import pypdfium2

    try:
        page = _page(file, number)
        text = page.get_textpage()
        content, found = text.get_text_range(), list[Share]()
        for word in words:
            matches = text.search(word, match_case=False)
            while len(found) < MAX_WORD_BOXES and (match := matches.get_next()):
                if match[0] == 0 or not content[match[0] - 1 : match[0]].isalnum():
                    found += _shares(page, map(text.get_rect, range(text.count_rects(*match))))
        return found
    except pypdfium2.PdfiumError as error:
        raise MediaError(f"the page cannot be read: {error}") from error


def _page(file: BinaryIO, number: int) -> "PdfPage":
    import pypdfium2

    document = pypdfium2.PdfDocument(file)
    if not 1 <= number <= len(document):
        raise MediaError(f"it has no page {number}, but {len(document)}")
    return document[number - 1]


def _shares(page: "PdfPage", boxes: Iterator[tuple[float, float, float, float]]) -> Iterator[Share]:
    """Yield boxes in points as shares of the page as it is rendered: cropped and rotated."""
    from ctypes import byref, c_int

    from pypdfium2 import raw

    def placed(x: float, y: float) -> tuple[float, float]:
        column, row = c_int(), c_int()
        raw.FPDF_PageToDevice(page, 0, 0, GRID_SIDE, GRID_SIDE, 0, x, y, byref(column), byref(row))
        return column.value / GRID_SIDE, row.value / GRID_SIDE

    for left, bottom, right, top in boxes:
        (x0, y0), (x1, y1) = placed(left, top), placed(right, bottom)
        box = min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)
        yield tuple(round(share, 5) for share in box)  # type: ignore[misc]


def _as_webp(image: "Image", side: int) -> bytes:
    from PIL.Image import Resampling

    image = image if image.mode == "RGB" else image.convert("RGB")
    image.thumbnail((side, side), Resampling.LANCZOS, reducing_gap=2.0)
    data = BytesIO()
    image.save(data, "WEBP", quality=WEBP_QUALITY, method=WEBP_EFFORT)
    return data.getvalue()
