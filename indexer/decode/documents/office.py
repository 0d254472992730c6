"""Decoder of Word, Excel, PowerPoint, OpenDocument, RTF and EPUB files: passages in reading order."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import BinaryIO, NamedTuple
from xml.etree.ElementTree import Element, ParseError

from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.context import DecodeContext
from indexer.decode.documents.html import declared_charset
from indexer.decode.documents.html_text import extract_paragraphs
from indexer.decode.documents.rtf import rtf_to_text
from indexer.decode.documents.spreadsheet import (
    DateStyles,
    ExcelParts,
    RowCollector,
    read_excel_rows,
    read_rows,
)
from indexer.decode.documents.zip_xml import ZipDocument, open_zip_document, resolve_reference
from indexer.decode.text.chunking import PassageLimit
from indexer.decode.text.encoding import decode_text
from indexer.decode.text.plain import read_bytes
from indexer.decode.text.records import WORD
from retrieval.errors import MediaError

TRUNCATED_REASON = "damaged: truncated before its text"
RTF_SIGNATURE = b"{\\rtf"
DRM_MEMBERS = frozenset(("META-INF/encryption.xml", "META-INF/rights.xml"))

RELATIONSHIP_IDS = (  # of transitional and of strict files (ISO/IEC 29500)
    "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id",
    "{http://purl.oclc.org/ooxml/officeDocument/relationships}id",
)
# Deleted and moved text, comments, field codes, alternatives of the same content, and what would be joined to
# the words before: the numbers of footnotes and pages, and the readings of East Asian writing.
IGNORED_ELEMENTS = frozenset(
    (
        *("Fallback", "moveFrom", "tracked-changes", "annotation", "instrText", "delText"),
        *("note-citation", "page-number", "rt", "ruby-text"),
    )
)
ELEMENT_TEXT = {**dict.fromkeys(("tab", "br", "cr", "s", "line-break"), " "), "noBreakHyphen": "-"}


class OfficeParagraph(NamedTuple):
    """A paragraph, and the number of its slide."""

    text: str
    page: int | None = None


class ParagraphCollector:
    """A target of XML parsers that collects paragraphs, or only their elements named `text_element`."""

    def __init__(self, text_element: str | None = None) -> None:
        self.paragraphs: list[OfficeParagraph] = []
        self.page: int | None = None
        self.started = False
        self._text_element = text_element
        self._open_paragraphs: list[list[str]] = []  # a text box is a paragraph in a paragraph
        self._in_text = text_element is None
        self._ignored_depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        name, self.started = tag.rpartition("}")[2], True
        is_slide_number = name == "fld" and attributes.get("type") == "slidenum"
        if name in IGNORED_ELEMENTS or is_slide_number or self._ignored_depth:
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
        """Handle the end of an element."""
        name = tag.rpartition("}")[2]
        if self._ignored_depth:
            self._ignored_depth -= 1
        elif name in ("p", "h") and self._open_paragraphs:
            self.paragraphs.append(OfficeParagraph("".join(self._open_paragraphs.pop()), self.page))
        elif name == self._text_element:
            self._in_text = False

    def data(self, text: str) -> None:
        """Handle text."""
        if self._open_paragraphs and self._in_text and not self._ignored_depth:
            self._open_paragraphs[-1].append(text)

    def close(self) -> None:
        """Handle the end of the document."""

    def pop_paragraphs(self) -> list[OfficeParagraph]:
        """Return and remove the paragraphs collected so far."""
        paragraphs, self.paragraphs = self.paragraphs, []
        return paragraphs


def decode(file: BinaryIO, suffix: str, context: DecodeContext) -> DecodedFile:
    """Split a document into passages; paragraphs count as lines, and slides as pages.

    The content, not the suffix, decides between formats, as in other programs.
    """
    start = file.read(5)
    file.seek(0)
    if start == RTF_SIGNATURE:
        text = rtf_to_text(read_bytes(file, context.limits.max_text_bytes))
        return _decode_paragraphs((OfficeParagraph(line) for line in text.split("\n")), context)
    with open_zip_document(file, context.limits) as parts:
        return _decode_paragraphs(_read_paragraphs(parts), context, parts)


def _decode_paragraphs(
    paragraphs: Iterator[OfficeParagraph], context: DecodeContext, document: ZipDocument | None = None
) -> DecodedFile:
    limits, notes = context.limits, list[str]()
    is_spreadsheet = document is not None and _is_spreadsheet(document)
    limit = PassageLimit(limits, limits.max_table_passages if is_spreadsheet else None)
    drafts = limit.take(_paragraph_drafts(paragraphs, context, notes))
    notes += [limit.note] if limit.note else []
    if document is not None and document.remaining_bytes <= 0:
        notes.append(
            f"only the first {limits.max_document_bytes:,} bytes of its content are read (the limit)"
        )
    elif document is not None and document.truncated:
        notes.append("damaged: truncated, and read up to there")
    note = "; ".join(notes) or None
    if drafts:
        return DecodedFile(drafts, note=note)
    if document is not None and DRM_MEMBERS & document.member_names:
        raise MediaError("protected against copying (DRM)")
    if document is not None and document.truncated:
        raise MediaError(TRUNCATED_REASON)
    raise MediaError(note or "no text in it")


def _paragraph_drafts(
    paragraphs: Iterator[OfficeParagraph], context: DecodeContext, notes: list[str]
) -> Iterator[SegmentDraft]:
    """Yield the passages of paragraphs, and add a note if their characters reach the limit."""
    character_count, number, max_characters = 0, 0, context.limits.max_characters
    for raw, page in paragraphs:
        text = " ".join(raw.split())
        if not text:
            continue
        character_count += len(text)
        if character_count > max_characters:
            notes.append(f"only the first {max_characters:,} characters are read (the limit)")
            return
        number += 1
        line = None if page is not None else number
        yield from context.chunker.drafts(text, start=line, end=line, page=page)


def _read_paragraphs(document: ZipDocument) -> Iterator[OfficeParagraph]:
    """Yield the paragraphs of a document of any zipped format."""
    if "content.xml" in document.member_names:
        yield from _read_open_document(document)
    elif "META-INF/container.xml" in document.member_names:
        yield from _read_epub(document)
    else:
        main = next(iter(_relationship_targets(document, "", "/officeDocument").values()), "")
        if main.startswith("ppt/"):
            yield from _read_slides(document, main)
        elif main.startswith("word/"):
            yield from _read_word(document, main)
        elif main.startswith("xl/"):
            yield from _read_workbook(document, main)
        elif document.truncated:
            raise MediaError(TRUNCATED_REASON)
        else:
            raise MediaError("not a document: another zip file")


def _read_open_document(document: ZipDocument) -> Iterator[OfficeParagraph]:
    """Yield the paragraphs of an OpenDocument file, or the rows of a spreadsheet."""
    if b"encryption-data" in document.read_member("META-INF/manifest.xml"):
        raise MediaError("needs a password")
    if _is_spreadsheet(document):
        yield from _row_paragraphs(read_rows(document, "content.xml", RowCollector([], DateStyles())))
        return
    yield from _collect_paragraphs(document, "content.xml", ParagraphCollector())
    if b"opendocument.text" in document.read_member("mimetype"):
        yield from _read_margins(document, ["styles.xml"])


def _read_word(document: ZipDocument, main: str) -> Iterator[OfficeParagraph]:
    """Yield the paragraphs of a Word file, then those of its diagrams, notes, headers and footers."""
    diagrams = _relationship_targets(document, main, "/diagramData").values()
    for name in (main, *diagrams, "word/footnotes.xml", "word/endnotes.xml"):
        yield from _collect_paragraphs(document, name, ParagraphCollector("t"))
    margins = (_relationship_targets(document, main, kind).values() for kind in ("/header", "/footer"))
    yield from _read_margins(document, chain(*margins), "t")


def _is_spreadsheet(document: ZipDocument) -> bool:
    """Return True for Excel and OpenDocument spreadsheets."""
    return "xl/workbook.xml" in document.member_names or b"opendocument.spreadsheet" in document.read_member(
        "mimetype"
    )


def _collect_paragraphs(
    document: ZipDocument, name: str, collector: ParagraphCollector
) -> Iterator[OfficeParagraph]:
    if name in document.member_names:
        for _ in document.parse_member(name, collector):
            yield from collector.pop_paragraphs()


def _read_margins(
    document: ZipDocument, names: Iterable[str], text_element: str | None = None
) -> Iterator[OfficeParagraph]:
    """Yield the paragraphs of headers and footers that have words, each text once."""
    texts = set[str]()
    for name in names:
        with suppress(ParseError):  # the document is readable without
            for paragraph in _collect_paragraphs(document, name, ParagraphCollector(text_element)):
                if WORD.search(paragraph.text) and paragraph.text not in texts:
                    texts.add(paragraph.text)
                    yield paragraph


def _read_workbook(document: ZipDocument, main: str) -> Iterator[OfficeParagraph]:
    """Yield the rows of an Excel file; its sheets are pages, in their order."""
    sheets = _relationship_targets(document, main, "/worksheet")
    elements = list(document.read_xml(main).iter())
    strings, styles = (
        next(iter(_relationship_targets(document, main, kind).values()), "")
        for kind in ("/sharedStrings", "/styles")
    )
    is_1904 = any(element.get("date1904") in ("1", "true") for element in elements)
    shown = [sheets.get(_relationship_id(sheet), "") for sheet in elements if _has_tag(sheet, "sheet")]
    yield from _row_paragraphs(read_excel_rows(document, ExcelParts(strings, styles, is_1904), shown))


def _row_paragraphs(rows: Iterator[tuple[int, str]]) -> Iterator[OfficeParagraph]:
    """Yield the rows of a spreadsheet that have words."""
    return (OfficeParagraph(text, sheet) for sheet, text in rows if WORD.search(text))


def _read_slides(document: ZipDocument, main: str) -> Iterator[OfficeParagraph]:
    """Yield the paragraphs of slides in presentation order, each followed by its diagrams and notes."""
    slides = _relationship_targets(document, main, "/slide")
    shown = [
        slides.get(_relationship_id(slide), "")
        for slide in document.read_xml(main).iter()
        if _has_tag(slide, "sldId")
    ]
    for number, slide in enumerate(shown[: document.limits.max_pages], start=1):
        related = (
            _relationship_targets(document, slide, kind).values() for kind in ("/diagramData", "/notesSlide")
        )
        for name in (slide, *chain(*related)):
            yield from (
                text._replace(page=number)
                for text in _collect_paragraphs(document, name, ParagraphCollector("t"))
            )


def _read_epub(document: ZipDocument) -> Iterator[OfficeParagraph]:
    """Yield the title and authors of a book, then its chapters in reading order."""
    package = next(
        (
            element.get("full-path", "")
            for element in document.read_xml("META-INF/container.xml").iter()
            if _has_tag(element, "rootfile")
        ),
        "",
    )
    elements = list(document.read_xml(package).iter())
    yield OfficeParagraph(
        ", ".join(
            element.text or ""
            for element in elements
            if _has_tag(element, "title") or _has_tag(element, "creator")
        )
    )
    paths = {
        element.get("id"): resolve_reference(package, element.get("href", ""))
        for element in elements
        if _has_tag(element, "item")
    }
    order = dict.fromkeys(
        paths.get(element.get("idref"), "") for element in elements if _has_tag(element, "itemref")
    )
    for chapter in islice(order, document.limits.max_pages):
        if chapter in document.member_names:
            data = b"".join(document.read_chunks(chapter))
            with suppress(MediaError):  # an encrypted chapter, or one that is not text
                yield from (
                    OfficeParagraph(text)
                    for text, _ in extract_paragraphs(decode_text(data, declared_charset(data)))
                )


def _relationship_targets(document: ZipDocument, name: str, kind: str) -> dict[str, str]:
    """Return the members of one kind to which a member refers, by their ids."""
    folder, _, file = name.rpartition("/")
    references = document.read_xml(f"{folder}/_rels/{file}.rels".lstrip("/"))
    return {
        element.get("Id", ""): resolve_reference(name, element.get("Target", ""))
        for element in references.iter()
        if element.get("Type", "").endswith(kind)
    }


def _relationship_id(element: Element) -> str:
    return next(filter(None, map(element.get, RELATIONSHIP_IDS)), "")


def _has_tag(element: Element, name: str) -> bool:
    return str(element.tag).rpartition("}")[2] == name
