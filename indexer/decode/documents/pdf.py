"""A PDF: a segment for each page's picture, and the passages of each page's text."""

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import BinaryIO

from PIL import Image

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.documents.pdf_process import PdfDocument, PdfPage, open_pdf
from indexer.decode.images.thumbnail import THUMBNAIL_SIDE
from retrieval.errors import MediaError
from retrieval.media.images.pixels import WHITE
from retrieval.types import MediaProperties

MAX_PAGES = 5_000
MAX_CHARACTERS = 20_000_000  # of all pages: four Bibles
MAX_PAGES_IN_MEMORY = 64  # pages whose pixels are held; of a longer document they are embedded as they come

LIGATURES = str.maketrans({0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl"})
LINE_END_HYPHEN = re.compile(r"[\x02\xad\ufffe]\s*")  # where a line ends within a word
DOT_LEADERS = re.compile(r"(?:\.[ \t]?){4,}")  # dots that lead to a page number
PDF_DATE = re.compile(r"D:(\d{14})(?:([+-])(\d\d)'?(\d\d)|(Z))?")


@dataclass(slots=True)
class _PdfSegments:
    """What has been made of a document so far."""

    context: DecodeContext
    page_images: list[SegmentDraft] = field(default_factory=list)
    passages: list[SegmentDraft] = field(default_factory=list)
    character_count: int = 0
    page_errors: list[str] = field(default_factory=list)  # why, of each page that cannot be read

    def add_page(self, number: int, page: PdfPage | MediaError) -> None:
        """Add a page's picture, unless it is blank, and its text."""
        if isinstance(page, MediaError):
            self.page_errors.append(str(page))
            return
        if page.image is not None:
            self.page_images.append(self._page_draft(page.image, number))
        text = _clean_text(page.text[: max(0, MAX_CHARACTERS - self.character_count)])
        self.character_count += len(page.text)
        self.passages += self.context.chunker.drafts(text, page=number)

    def add_blank_page(self) -> None:
        """Add a white page."""
        side = self.context.embedder.min_image_side
        self.page_images.append(self._page_draft(Image.new("RGB", (side, side), WHITE), 1))

    def embed_held_pages(self) -> None:
        """Embed the pages whose pixels are held, so that a long document is not held whole."""
        last = self.page_images[-MAX_PAGES_IN_MEMORY:]
        pixels = [draft.pixels for draft in last if draft.pixels is not None]
        if len(pixels) == MAX_PAGES_IN_MEMORY:
            vectors = self.context.embedder.embed_images(pixels)
            self.page_images[-MAX_PAGES_IN_MEMORY:] = [
                replace(draft, pixels=None, vector=vector)
                for draft, vector in zip(last, vectors, strict=True)
            ]

    def _page_draft(self, image: Image.Image, number: int) -> SegmentDraft:
        pixels = self.context.embedder.prepare(image)
        return SegmentDraft("page", pixels=pixels, page=number, thumbnail=self.context.thumbnail(image))


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the pictures of all pages that are not blank, then their texts, each with its page.

    So a picture has the same ordinal whatever the embedder makes of the texts. Of a document that is blank
    throughout the first page stays, so that it is found by its name.
    """
    with open_pdf(file) as document:
        made = _PdfSegments(context)
        pages = document.read_pages(
            min(document.page_count, MAX_PAGES),
            min_side=context.embedder.min_image_side,
            min_long_side=THUMBNAIL_SIDE,
        )
        for number, page in enumerate(pages, start=1):
            made.add_page(number, page)
            if document.page_count > MAX_PAGES_IN_MEMORY:
                made.embed_held_pages()
        if made.page_errors and not made.page_images and not made.passages:
            raise MediaError(f"damaged: none of its pages can be read ({made.page_errors[0]})")
        if not made.page_images and not made.passages:
            made.add_blank_page()
        taken, zone = _parse_pdf_date(document.creation_date)
        return DecodedFile(
            made.page_images + made.passages,
            MediaProperties(taken=taken, zone=zone),
            _left_out_note(made, document),
        )


def _left_out_note(segments: _PdfSegments, document: PdfDocument) -> str | None:
    """Say what was left out."""
    notes = ["damaged: the pages that are whole are read"] if document.repaired else []
    if document.page_count > MAX_PAGES:
        notes.append(f"the first {MAX_PAGES:,} of {document.page_count:,} pages are read, which is the limit")
    if segments.page_errors:
        notes.append(
            f"{len(segments.page_errors):,} of {document.page_count:,} pages cannot be read "
            f"({segments.page_errors[0]})"
        )
    if segments.character_count > MAX_CHARACTERS:
        notes.append(f"the first {MAX_CHARACTERS:,} letters are read, which is the limit")
    return "; ".join(notes) or None


def _clean_text(text: str) -> str:
    """Return a page's text with its words whole, and without what no catalogue can hold."""
    whole = DOT_LEADERS.sub(" ", LINE_END_HYPHEN.sub("", text)).translate(LIGATURES)
    whole = whole.replace("\r\n", "\n").replace("\0", "")
    return whole.encode("utf-8", "replace").decode()


def _parse_pdf_date(date: str) -> tuple[str | None, str | None]:
    """Return when a document was made, as it says, and the zone of that clock.

    A person who looks for the papers of a year means this, not when they were downloaded.
    """
    found = PDF_DATE.match(date)
    if found is None:
        return None, None
    with suppress(ValueError):
        when = datetime.strptime(found[1], "%Y%m%d%H%M%S")
        if 1990 <= when.year <= datetime.now().year + 1:  # PDF is of 1993
            zone = f"{found[2]}{found[3]}:{found[4]}" if found[2] else "+00:00" if found[5] else None
            return when.isoformat(), zone
    return None, None
