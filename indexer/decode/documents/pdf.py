"""A PDF: a segment for each page's picture, and the passages of each page's text."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import BinaryIO

from PIL import Image

from indexer.decode.base import Decoded, Draft
from indexer.decode.documents.pdf_process import Document, Page, open_pdf
from indexer.decode.images.thumbnail import SIDE, thumbnail
from indexer.decode.text.chunking import WORDS, split
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError
from retrieval.media.images.pixels import WHITE
from retrieval.types import Details

MOST_PAGES = 5_000
MOST_LETTERS = 20_000_000  # of all pages: four Bibles
HELD = 64  # pages whose pixels are held; of a longer document they are embedded as they come

LIGATURES = str.maketrans({0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl"})
HYPHEN = re.compile(r"[\x02\xad\ufffe]\s*")  # where a line ends within a word
LEADERS = re.compile(r"(?:\.[ \t]?){4,}")  # dots that lead to a page number
CREATED = re.compile(r"D:(\d{14})(?:([+-])(\d\d)'?(\d\d)|(Z))?")


@dataclass(slots=True)
class _Made:
    """What has been made of a document so far."""

    embedder: Embedder
    tokens: Callable[[str], int]
    pictures: list[Draft] = field(default_factory=list)
    passages: list[Draft] = field(default_factory=list)
    letters: int = 0
    failed: list[str] = field(default_factory=list)  # why, of each page that cannot be read

    def add(self, number: int, page: Page | MediaError) -> None:
        """Add a page's picture, unless it is blank, and its text."""
        if isinstance(page, MediaError):
            self.failed.append(str(page))
            return
        if page.picture is not None:
            self.pictures.append(self._draw(page.picture, number))
        text = _clean(page.text[: max(0, MOST_LETTERS - self.letters)])
        self.letters += len(page.text)
        parts = split(text, self.tokens, self.embedder.context)
        self.passages += [Draft("text", text=part.text, page=number) for part in parts]

    def draw_blank(self) -> None:
        """Add a white page."""
        side = self.embedder.side
        self.pictures.append(self._draw(Image.new("RGB", (side, side), WHITE), 1))

    def let_go(self) -> None:
        """Embed the pages whose pixels are held, so that a long document is not held whole."""
        last = self.pictures[-HELD:]
        pixels = [draft.pixels for draft in last if draft.pixels is not None]
        if len(pixels) == HELD:
            vectors = self.embedder.embed_images(pixels)
            self.pictures[-HELD:] = [
                replace(draft, pixels=None, vector=vector)
                for draft, vector in zip(last, vectors, strict=True)
            ]

    def _draw(self, picture: Image.Image, number: int) -> Draft:
        pixels = self.embedder.prepare(picture)
        return Draft("page", pixels=pixels, page=number, thumbnail=thumbnail(picture))


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Return the pictures of all pages that are not blank, then their texts, each with its page.

    So a picture has the same ordinal whatever the embedder makes of the texts. Of a document that is blank
    throughout the first page stays, so that it is found by its name.
    """
    with open_pdf(file) as document:
        made = _Made(embedder, lru_cache(WORDS)(embedder.tokens))
        pages = document.read(min(document.pages, MOST_PAGES), shorter=embedder.side, longer=SIDE)
        for number, page in enumerate(pages, start=1):
            made.add(number, page)
            if document.pages > HELD:
                made.let_go()
        if made.failed and not made.pictures and not made.passages:
            raise MediaError(f"damaged: none of its pages can be read ({made.failed[0]})")
        if not made.pictures and not made.passages:
            made.draw_blank()
        taken, zone = _created(document.created)
        return Decoded(made.pictures + made.passages, Details(taken=taken, zone=zone), _note(made, document))


def _note(made: _Made, document: Document) -> str | None:
    """Say what was left out."""
    notes = ["damaged: the pages that are whole are read"] if document.mended else []
    if document.pages > MOST_PAGES:
        notes.append(f"the first {MOST_PAGES:,} of {document.pages:,} pages are read, which is the limit")
    if made.failed:
        notes.append(f"{len(made.failed):,} of {document.pages:,} pages cannot be read ({made.failed[0]})")
    if made.letters > MOST_LETTERS:
        notes.append(f"the first {MOST_LETTERS:,} letters are read, which is the limit")
    return "; ".join(notes) or None


def _clean(text: str) -> str:
    """Return a page's text with its words whole, and without what no catalogue can hold."""
    whole = LEADERS.sub(" ", HYPHEN.sub("", text)).translate(LIGATURES)
    whole = whole.replace("\r\n", "\n").replace("\0", "")
    return whole.encode("utf-8", "replace").decode()


def _created(date: str) -> tuple[str | None, str | None]:
    """Return when a document was made, as it says, and the zone of that clock.

    A person who looks for the papers of a year means this, not when they were downloaded.
    """
    found = CREATED.match(date)
    if found is None:
        return None, None
    with suppress(ValueError):
        when = datetime.strptime(found[1], "%Y%m%d%H%M%S")
        if 1990 <= when.year <= datetime.now().year + 1:  # PDF is of 1993
            zone = f"{found[2]}{found[3]}:{found[4]}" if found[2] else "+00:00" if found[5] else None
            return when.isoformat(), zone
    return None, None
