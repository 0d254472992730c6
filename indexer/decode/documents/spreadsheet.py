"""The rows of Excel and OpenDocument spreadsheets as paragraphs."""

from collections.abc import Iterator
from contextlib import suppress

from indexer.decode.documents.zip_xml import ZipDocument

ROW_ELEMENTS, CELL_ELEMENTS = ("row", "table-row"), ("c", "table-cell")


class SharedStringCollector:
    """A target of XML parsers that collects the texts to which the cells of an Excel file refer."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.started = False
        self._in_text = self._is_reading_aid = False  # a reading aid is a phonetic text of East Asian writing

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        name, self.started = tag.rpartition("}")[2], True
        if name == "si":
            self.texts.append("")
        self._is_reading_aid = self._is_reading_aid or name == "rPh"
        self._in_text = name == "t" and not self._is_reading_aid

    def end(self, tag: str) -> None:
        """Handle the end of an element."""
        self._in_text = False
        self._is_reading_aid = self._is_reading_aid and not tag.endswith("}rPh")

    def data(self, text: str) -> None:
        """Handle text."""
        if self._in_text and self.texts:
            self.texts[-1] += text

    def close(self) -> None:
        """Handle the end of the document."""


class RowCollector:
    """A target of XML parsers that collects the rows of a sheet; cells are separated by commas."""

    def __init__(self, shared_texts: list[str]) -> None:
        self.rows: list[tuple[int, str]] = []  # number of the sheet from 1, and text
        self.sheet = 0
        self.started = False
        self._shared_texts = shared_texts
        self._cells: list[str] = []
        self._cell_type, self._in_value = "", False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        name, self.started = tag.rpartition("}")[2], True
        if name in ("sheetData", "table"):
            self.sheet += 1
        elif name in CELL_ELEMENTS:
            self._cells.append("")
            self._cell_type = attributes.get("t", "")
        elif name in ("v", "t", "p") and self._cells:
            self._in_value = True
            self._cells[-1] += " " * (name == "p" and bool(self._cells[-1]))
        elif name in ("f", "annotation"):
            self._in_value = False

    def end(self, tag: str) -> None:
        """Handle the end of an element."""
        name = tag.rpartition("}")[2]
        if name in ("v", "t", "p"):
            self._in_value = False
        elif name == "c" and self._cell_type == "s" and self._cells:
            with suppress(ValueError, IndexError):
                self._cells[-1] = self._shared_texts[int(self._cells[-1])]
        elif name in ROW_ELEMENTS:
            text = ", ".join(cell for cell in (" ".join(cell.split()) for cell in self._cells) if cell)
            self.rows.append((self.sheet, text))
            self._cells = []

    def data(self, text: str) -> None:
        """Handle text."""
        if self._in_value and self._cells:
            self._cells[-1] += text

    def close(self) -> None:
        """Handle the end of the document."""

    def pop_rows(self) -> list[tuple[int, str]]:
        """Return and remove the rows collected so far."""
        rows, self.rows = self.rows, []
        return rows


def read_excel_rows(
    document: ZipDocument, shared_strings: str, sheets: list[str]
) -> Iterator[tuple[int, str]]:
    """Yield the sheet, from 1, and the text of each row of an Excel file, given its members."""
    shared = SharedStringCollector()
    if shared_strings in document.member_names:
        for _ in document.parse_member(shared_strings, shared):
            pass
    for number, sheet in enumerate(sheets, start=1):
        if sheet in document.member_names:
            yield from ((number, text) for _, text in read_rows(document, sheet, shared.texts))


def read_rows(document: ZipDocument, name: str, shared_texts: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the sheet, from 1, and the text of each row of a member."""
    collector = RowCollector(shared_texts)
    for _ in document.parse_member(name, collector):
        yield from collector.pop_rows()
