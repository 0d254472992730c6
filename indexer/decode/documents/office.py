"""Documents of Word, LibreOffice and PowerPoint, and books: passages of their text, in reading order."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import BinaryIO, NamedTuple
from xml.etree.ElementTree import Element

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.documents.html import declared_charset
from indexer.decode.documents.html_text import extract_paragraphs
from indexer.decode.documents.rtf import rtf_to_text
from indexer.decode.documents.zip_xml import (
    MAX_UNPACKED_BYTES,
    ZipDocument,
    open_zip_document,
    resolve_reference,
)
from indexer.decode.text.chunking import Chunker
from indexer.decode.text.encoding import decode_text
from indexer.decode.text.plain import read_bytes
from retrieval.errors import MediaError

MAX_CHARACTERS = 20_000_000  # of a document: four Bibles
MAX_PAGES = 5_000  # slides or chapters
TRUNCATED_REASON = "damaged: it breaks off before its text"
RTF_SIGNATURE = b"{\\rtf"
DRM_MEMBERS = frozenset(("META-INF/encryption.xml", "META-INF/rights.xml"))

RELATIONSHIP_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# What is no text of the document: what was deleted or moved away, remarks, a second form of the same.
IGNORED_ELEMENTS = frozenset(
    ("Fallback", "moveFrom", "tracked-changes", "annotation", "instrText", "delText")
)
ELEMENT_TEXT = {**dict.fromkeys(("tab", "br", "cr", "s", "line-break"), " "), "noBreakHyphen": "-"}


class OfficeParagraph(NamedTuple):
    """A paragraph, and the slide it is on."""

    text: str
    page: int | None = None


class ParagraphCollector:
    """What a parser of XML calls: it gathers paragraphs, of those only the text elements `within`."""

    def __init__(self, text_element: str | None = None) -> None:
        self.paragraphs: list[OfficeParagraph] = []
        self.page: int | None = None
        self.started = False
        self._text_element = text_element
        self._open_paragraphs: list[list[str]] = []  # paragraphs, of which one may be in a box in another
        self._in_text = text_element is None
        self._ignored_depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take note of an element that begins."""
        name, self.started = tag.rpartition("}")[2], True
        if name in IGNORED_ELEMENTS or self._ignored_depth:
            self._ignored_depth += 1
        elif name in ("p", "h"):
            self._open_paragraphs.append([])
        elif name == self._text_element:
            self._in_text = True
        elif name in ELEMENT_TEXT and self._open_paragraphs:
            self._open_paragraphs[-1].append(ELEMENT_TEXT[name])
        elif name == "page":
            self.page = (self.page or 0) + 1

    def end(self, tag: str) -> None:
        """Take note of an element that ends."""
        name = tag.rpartition("}")[2]
        if self._ignored_depth:
            self._ignored_depth -= 1
        elif name in ("p", "h") and self._open_paragraphs:
            self.paragraphs.append(OfficeParagraph("".join(self._open_paragraphs.pop()), self.page))
        elif name == self._text_element:
            self._in_text = False

    def data(self, text: str) -> None:
        """Take text."""
        if self._open_paragraphs and self._in_text and not self._ignored_depth:
            self._open_paragraphs[-1].append(text)

    def close(self) -> None:
        """End, as parsers ask."""

    def pop_paragraphs(self) -> list[OfficeParagraph]:
        """Return what was gathered since this was last asked."""
        found, self.paragraphs = self.paragraphs, []
        return found


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Split a document into passages; paragraphs count as lines, and slides as pages.

    What the file is, its own bytes say, as other programs heed the suffix as little.
    """
    start = file.read(5)
    file.seek(0)
    if start == RTF_SIGNATURE:
        texts = (OfficeParagraph(line) for line in rtf_to_text(read_bytes(file)).split("\n"))
        return _decode_paragraphs(texts, context.chunker)
    with open_zip_document(file) as parts:
        return _decode_paragraphs(_read_paragraphs(parts), context.chunker, parts)


def _decode_paragraphs(
    paragraphs: Iterator[OfficeParagraph], chunker: Chunker, document: ZipDocument | None = None
) -> DecodedFile:
    drafts, letters, number, note = list[SegmentDraft](), 0, 0, None
    for raw, page in paragraphs:
        text = " ".join(raw.split())
        if not text:
            continue
        letters += len(text)
        if letters > MAX_CHARACTERS:
            note = f"the first {MAX_CHARACTERS:,} letters are read, which is the limit"
            break
        number += 1
        line = None if page is not None else number
        drafts += chunker.drafts(text, start=line, end=line, page=page)
    if document is not None and document.remaining_bytes <= 0:
        note = f"what it unpacks to beyond {MAX_UNPACKED_BYTES:,} bytes is left out"
    elif document is not None and document.truncated:
        note = "damaged: it is read up to where it breaks off"
    if not drafts:
        if document is not None and document.truncated:
            note = TRUNCATED_REASON
        locked = document is not None and DRM_MEMBERS & document.member_names
        raise MediaError("locked against reading" if locked else note or "no text in it")
    return DecodedFile(drafts, note=note)


def _read_paragraphs(document: ZipDocument) -> Iterator[OfficeParagraph]:
    """Yield the paragraphs of a document of any kind."""
    if "content.xml" in document.member_names:
        if b"encryption-data" in document.read_member("META-INF/manifest.xml"):
            raise MediaError("needs a password")
        yield from _collect_paragraphs(document, "content.xml", ParagraphCollector())
    elif "META-INF/container.xml" in document.member_names:
        yield from _read_epub(document)
    else:
        main = next(iter(_relationship_targets(document, "", "/officeDocument").values()), "")
        if main.startswith("ppt/"):
            yield from _read_slides(document, main)
        elif main.startswith("word/"):
            for name in (main, "word/footnotes.xml", "word/endnotes.xml"):
                yield from _collect_paragraphs(document, name, ParagraphCollector("t"))
        else:
            if document.truncated:
                raise MediaError(TRUNCATED_REASON)
            raise MediaError(
                "a spreadsheet, which clew does not read"
                if main.startswith("xl/")
                else "not a document: other things, zipped"
            )


def _collect_paragraphs(
    document: ZipDocument, name: str, collector: ParagraphCollector
) -> Iterator[OfficeParagraph]:
    if name in document.member_names:
        for _ in document.parse_member(name, collector):
            yield from collector.pop_paragraphs()


def _read_slides(document: ZipDocument, main: str) -> Iterator[OfficeParagraph]:
    """Yield the texts of slides in the order in which they are shown, each with its notes."""
    there = _relationship_targets(document, main, "/slide")
    shown = [
        there.get(slide.get(RELATIONSHIP_ID, ""), "")
        for slide in document.read_xml(main).iter()
        if _has_tag(slide, "sldId")
    ]
    for number, slide in enumerate(shown[:MAX_PAGES], start=1):
        for name in (slide, *_relationship_targets(document, slide, "/notesSlide").values()):
            yield from (
                text._replace(page=number)
                for text in _collect_paragraphs(document, name, ParagraphCollector("t"))
            )


def _read_epub(document: ZipDocument) -> Iterator[OfficeParagraph]:
    """Yield title and author of a book, and its chapters in reading order."""
    package = next(
        (
            one.get("full-path", "")
            for one in document.read_xml("META-INF/container.xml").iter()
            if _has_tag(one, "rootfile")
        ),
        "",
    )
    every = list(document.read_xml(package).iter())
    yield OfficeParagraph(
        ", ".join(one.text or "" for one in every if _has_tag(one, "title") or _has_tag(one, "creator"))
    )
    places = {
        one.get("id"): resolve_reference(package, one.get("href", ""))
        for one in every
        if _has_tag(one, "item")
    }
    order = dict.fromkeys(places.get(one.get("idref"), "") for one in every if _has_tag(one, "itemref"))
    for chapter in islice(order, MAX_PAGES):
        if chapter in document.member_names:
            data = b"".join(document.read_chunks(chapter))
            with suppress(MediaError):  # one that is locked, or no text
                yield from (
                    OfficeParagraph(text)
                    for text, _ in extract_paragraphs(decode_text(data, declared_charset(data)))
                )


def _relationship_targets(document: ZipDocument, name: str, kind: str) -> dict[str, str]:
    """Return the members to which one refers, by the names it has for them; of one kind."""
    folder, _, file = name.rpartition("/")
    references = document.read_xml(f"{folder}/_rels/{file}.rels".lstrip("/"))
    return {
        one.get("Id", ""): resolve_reference(name, one.get("Target", ""))
        for one in references.iter()
        if one.get("Type", "").endswith(kind)
    }


def _has_tag(element: Element, name: str) -> bool:
    return str(element.tag).rpartition("}")[2] == name
