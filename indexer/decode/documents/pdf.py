"""Decode PDFs: a segment for the image of each page, and for each passage of its text."""

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
from indexer.decode.text.chunking import PassageLimit
from retrieval.errors import MediaError
from retrieval.media.images.pixels import WHITE
from retrieval.normalization import without_surrogates
from retrieval.types import MediaProperties

LIGATURES = str.maketrans({0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl"})
LINE_END_HYPHEN = re.compile(r"[\x02\xad\ufffe]\s*")  # inside a word
DOT_LEADERS = re.compile(r"(?:\.[ \t]?){4,}")  # in tables of contents
PDF_DATE = re.compile(r"D:(\d{8}(?:\d\d){0,3})(?:([+-])(\d\d)'?(\d\d)|(Z))?")  # hours and later are optional


@dataclass(slots=True)
class _PdfSegments:
    """The segments of the pages that have been read."""

    context: DecodeContext
    page_images: list[SegmentDraft] = field(default_factory=list)
    passages: list[SegmentDraft] = field(default_factory=list)
    character_count: int = 0
    page_errors: list[str] = field(default_factory=list)  # one for each page that cannot be read
    passage_limit: PassageLimit = field(init=False)

    def __post_init__(self) -> None:
        self.passage_limit = PassageLimit(self.context.limits)

    def add_page(self, number: int, page: PdfPage | MediaError) -> None:
        """Add the image of a page, unless it is blank, and its text."""
        if isinstance(page, MediaError):
            self.page_errors.append(str(page))
            return
        if page.image is not None:
            self.page_images.append(self._page_draft(page.image, number))
        text = _clean_text(page.text[: max(0, self.context.limits.max_characters - self.character_count)])
        self.character_count += len(page.text)
        self.passages += self.passage_limit.take(self.context.chunker.drafts(text, page=number))

    def add_blank_page(self) -> None:
        """Add a white page."""
        side = self.context.embedder.min_image_side
        self.page_images.append(self._page_draft(Image.new("RGB", (side, side), WHITE), 1))

    def embed_held_pages(self) -> None:
        """Embed the page images if a batch is complete, to free the memory of their pixels."""
        batch_size = self.context.limits.pages_in_memory
        batch = self.page_images[-batch_size:]
        pixels = [draft.pixels for draft in batch if draft.pixels is not None]
        if len(pixels) == batch_size:
            vectors = self.context.embed_images(pixels)
            self.page_images[-batch_size:] = [
                replace(draft, pixels=None, vector=vector)
                for draft, vector in zip(batch, vectors, strict=True)
            ]

    def _page_draft(self, image: Image.Image, number: int) -> SegmentDraft:
        pixels = self.context.embedder.prepare(image)
        return SegmentDraft("page", pixels=pixels, page=number, thumbnail=self.context.thumbnail(image))


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Return the images of all pages that are not blank, then the passages of their texts.

    In this order, the ordinal of an image does not depend on the embedder's passages. A document with only
    blank pages keeps its first page, so that it can be found by its name.
    """
    limits = context.limits
    with open_pdf(file, limits, context.stop) as document:
        segments = _PdfSegments(context)
        pages = document.read_pages(
            min(document.page_count, limits.max_pages),
            min_side=context.embedder.min_image_side,
            min_long_side=THUMBNAIL_SIDE,
        )
        for number, page in enumerate(pages, start=1):
            segments.add_page(number, page)
            if document.page_count > limits.pages_in_memory:
                segments.embed_held_pages()
        if segments.page_errors and not segments.page_images and not segments.passages:
            raise MediaError(f"damaged: none of its pages can be read ({segments.page_errors[0]})")
        if not segments.page_images and not segments.passages:
            segments.add_blank_page()
        taken, zone = _parse_pdf_date(document.creation_date)
        return DecodedFile(
            segments.page_images + segments.passages,
            MediaProperties(taken=taken, zone=zone),
            _skipped_note(segments, document),
        )


def _skipped_note(segments: _PdfSegments, document: PdfDocument) -> str | None:
    """Return a note on the parts that were not read, or None."""
    limits = segments.context.limits
    notes = ["damaged: only complete pages are read"] if document.repaired else []
    if document.page_count > limits.max_pages:
        notes.append(
            f"the first {limits.max_pages:,} of {document.page_count:,} pages are read, which is the limit"
        )
    if segments.page_errors:
        notes.append(
            f"{len(segments.page_errors):,} of {document.page_count:,} pages cannot be read "
            f"({segments.page_errors[0]})"
        )
    if segments.character_count > limits.max_characters:
        notes.append(f"the first {limits.max_characters:,} letters are read, which is the limit")
    if segments.passage_limit.note:
        notes.append(segments.passage_limit.note)
    return "; ".join(notes) or None


def _clean_text(text: str) -> str:
    """Return the text of a page without line-end hyphens, ligatures and invalid characters."""
    clean = DOT_LEADERS.sub(" ", LINE_END_HYPHEN.sub("", text)).translate(LIGATURES)
    clean = clean.replace("\r\n", "\n").replace("\0", "")
    return without_surrogates(clean)


def _parse_pdf_date(date: str) -> tuple[str | None, str | None]:
    """Return the creation date of a document and its UTC offset."""
    match = PDF_DATE.match(date)
    if match is None:
        return None, None
    with suppress(ValueError):
        created = datetime.strptime(match[1].ljust(14, "0"), "%Y%m%d%H%M%S")
        if 1990 <= created.year <= datetime.now().year + 1:  # PDF was introduced in 1993
            zone = f"{match[2]}{match[3]}:{match[4]}" if match[2] else "+00:00" if match[5] else None
            return created.isoformat(), zone
    return None, None
