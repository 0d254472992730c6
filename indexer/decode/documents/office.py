"""Documents of Word, LibreOffice and PowerPoint, and books: passages of their text, in reading order."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import BinaryIO, NamedTuple
from xml.etree.ElementTree import Element

from indexer.decode.base import Decoded, Draft
from indexer.decode.documents.html import charset
from indexer.decode.documents.html_text import paragraphs
from indexer.decode.documents.rtf import plain
from indexer.decode.documents.zip_xml import MOST_READ, Parts, open_parts, resolve
from indexer.decode.text.chunking import WORDS, split
from indexer.decode.text.encoding import decode_text
from indexer.decode.text.plain import read_bytes
from retrieval.embedders.base import Embedder
from retrieval.errors import MediaError

MOST_LETTERS = 20_000_000  # of a document: four Bibles
MOST_PAGES = 5_000  # slides or chapters
BEFORE_TEXT = "damaged: it breaks off before its text"
RICH = b"{\\rtf"
LOCKS = frozenset(("META-INF/encryption.xml", "META-INF/rights.xml"))

REFERENCE = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
# What is no text of the document: what was deleted or moved away, remarks, a second form of the same.
UNSEEN = frozenset(("Fallback", "moveFrom", "tracked-changes", "annotation", "instrText", "delText"))
MARKS = {**dict.fromkeys(("tab", "br", "cr", "s", "line-break"), " "), "noBreakHyphen": "-"}


class Text(NamedTuple):
    """A paragraph, and the slide it is on."""

    text: str
    page: int | None = None


class Collector:
    """What a parser of XML calls: it gathers paragraphs, of those only the text elements `within`."""

    def __init__(self, within: str | None = None) -> None:
        self.found: list[Text] = []
        self.page: int | None = None
        self.begun = False
        self._within = within
        self._open: list[list[str]] = []  # paragraphs, of which one may be in a box in another
        self._takes = within is None
        self._unseen = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Take note of an element that begins."""
        name, self.begun = tag.rpartition("}")[2], True
        if name in UNSEEN or self._unseen:
            self._unseen += 1
        elif name in ("p", "h"):
            self._open.append([])
        elif name == self._within:
            self._takes = True
        elif name in MARKS and self._open:
            self._open[-1].append(MARKS[name])
        elif name == "page":
            self.page = (self.page or 0) + 1

    def end(self, tag: str) -> None:
        """Take note of an element that ends."""
        name = tag.rpartition("}")[2]
        if self._unseen:
            self._unseen -= 1
        elif name in ("p", "h") and self._open:
            self.found.append(Text("".join(self._open.pop()), self.page))
        elif name == self._within:
            self._takes = False

    def data(self, text: str) -> None:
        """Take text."""
        if self._open and self._takes and not self._unseen:
            self._open[-1].append(text)

    def close(self) -> None:
        """End, as parsers ask."""

    def take(self) -> list[Text]:
        """Return what was gathered since this was last asked."""
        found, self.found = self.found, []
        return found


def decode(file: BinaryIO, suffix: str, embedder: Embedder) -> Decoded:
    """Split a document into passages; paragraphs count as lines, and slides as pages.

    What the file is, its own bytes say, as other programs heed the suffix as little.
    """
    start = file.read(5)
    file.seek(0)
    if start == RICH:
        texts = (Text(line) for line in plain(read_bytes(file)).split("\n"))
        return _decoded(texts, embedder)
    with open_parts(file) as parts:
        return _decoded(_texts(parts), embedder, parts)


def _decoded(texts: Iterator[Text], embedder: Embedder, parts: Parts | None = None) -> Decoded:
    drafts, letters, number, note = list[Draft](), 0, 0, None
    tokens = lru_cache(WORDS)(embedder.tokens)
    for raw, page in texts:
        text = " ".join(raw.split())
        if not text:
            continue
        letters += len(text)
        if letters > MOST_LETTERS:
            note = f"the first {MOST_LETTERS:,} letters are read, which is the limit"
            break
        number += 1
        line = None if page is not None else number
        passages = split(text, tokens, embedder.context)
        drafts += [Draft("text", text=one.text, start=line, end=line, page=page) for one in passages]
    if parts is not None and parts.left <= 0:
        note = f"what it unpacks to beyond {MOST_READ:,} bytes is left out"
    elif parts is not None and parts.broken:
        note = "damaged: it is read up to where it breaks off"
    if not drafts:
        if parts is not None and parts.broken:
            note = BEFORE_TEXT
        locked = parts is not None and LOCKS & parts.names
        raise MediaError("locked against reading" if locked else note or "no text in it")
    return Decoded(drafts, note=note)


def _texts(parts: Parts) -> Iterator[Text]:
    """Yield the paragraphs of a document of any kind."""
    if "content.xml" in parts.names:
        if b"encryption-data" in parts.read("META-INF/manifest.xml"):
            raise MediaError("needs a password")
        yield from _collect(parts, "content.xml", Collector())
    elif "META-INF/container.xml" in parts.names:
        yield from _book(parts)
    else:
        main = next(iter(_related(parts, "", "/officeDocument").values()), "")
        if main.startswith("ppt/"):
            yield from _slides(parts, main)
        elif main.startswith("word/"):
            for name in (main, "word/footnotes.xml", "word/endnotes.xml"):
                yield from _collect(parts, name, Collector("t"))
        else:
            if parts.broken:
                raise MediaError(BEFORE_TEXT)
            raise MediaError(
                "a spreadsheet, which clew does not read"
                if main.startswith("xl/")
                else "not a document: other things, zipped"
            )


def _collect(parts: Parts, name: str, collector: Collector) -> Iterator[Text]:
    if name in parts.names:
        for _ in parts.parse(name, collector):
            yield from collector.take()


def _slides(parts: Parts, main: str) -> Iterator[Text]:
    """Yield the texts of slides in the order in which they are shown, each with its notes."""
    there = _related(parts, main, "/slide")
    shown = [
        there.get(slide.get(REFERENCE, ""), "") for slide in parts.xml(main).iter() if _is(slide, "sldId")
    ]
    for number, slide in enumerate(shown[:MOST_PAGES], start=1):
        for name in (slide, *_related(parts, slide, "/notesSlide").values()):
            yield from (text._replace(page=number) for text in _collect(parts, name, Collector("t")))


def _book(parts: Parts) -> Iterator[Text]:
    """Yield title and author of a book, and its chapters in reading order."""
    package = next(
        (
            one.get("full-path", "")
            for one in parts.xml("META-INF/container.xml").iter()
            if _is(one, "rootfile")
        ),
        "",
    )
    every = list(parts.xml(package).iter())
    yield Text(", ".join(one.text or "" for one in every if _is(one, "title") or _is(one, "creator")))
    places = {one.get("id"): resolve(package, one.get("href", "")) for one in every if _is(one, "item")}
    order = dict.fromkeys(places.get(one.get("idref"), "") for one in every if _is(one, "itemref"))
    for chapter in islice(order, MOST_PAGES):
        if chapter in parts.names:
            data = b"".join(parts.chunks(chapter))
            with suppress(MediaError):  # one that is locked, or no text
                yield from (Text(text) for text, _ in paragraphs(decode_text(data, charset(data))))


def _related(parts: Parts, name: str, kind: str) -> dict[str, str]:
    """Return the members to which one refers, by the names it has for them; of one kind."""
    folder, _, file = name.rpartition("/")
    references = parts.xml(f"{folder}/_rels/{file}.rels".lstrip("/"))
    return {
        one.get("Id", ""): resolve(name, one.get("Target", ""))
        for one in references.iter()
        if one.get("Type", "").endswith(kind)
    }


def _is(element: Element, name: str) -> bool:
    return str(element.tag).rpartition("}")[2] == name
