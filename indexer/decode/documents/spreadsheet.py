"""The rows of Excel and OpenDocument spreadsheets as paragraphs."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from xml.etree.ElementTree import ParseError

from indexer.decode.documents.zip_xml import ZipDocument

ROW_ELEMENTS, CELL_ELEMENTS = ("row", "table-row"), ("c", "table-cell")
# The number formats of dates and times that Excel files do not define (ISO/IEC 29500-1, 18.8.30).
BUILT_IN_FORMATS = {
    **dict.fromkeys((*range(14, 18), *range(27, 32), 36, *range(50, 59)), "yyyy-mm-dd"),
    **dict.fromkeys((*range(18, 22), *range(32, 36)), "hh:mm"),
    22: "yyyy-mm-dd hh:mm",
}
FORMAT_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')  # no code of a date


class ExcelParts(NamedTuple):
    """The members of an Excel file that its sheets refer to, and whether its dates count from 1904."""

    shared_strings: str
    styles: str
    is_1904: bool


class DateStyles:
    """A target of XML parsers that collects which styles of cells are dates or times."""

    def __init__(self, *, is_1904: bool = False) -> None:
        self.started = False
        self._formats = BUILT_IN_FORMATS.copy()
        self._styles: list[str] = []  # the number format of each style
        self._in_styles, self._is_1904 = False, is_1904

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        name, self.started = tag.rpartition("}")[2], True
        if name == "cellXfs":
            self._in_styles = True
        elif name == "xf" and self._in_styles:
            self._styles.append(self._formats.get(_to_int(attributes.get("numFmtId", "")), ""))
        elif name == "numFmt":
            code = attributes.get("formatCode", "")
            self._formats[_to_int(attributes.get("numFmtId", ""))] = FORMAT_LITERAL.sub("", code).lower()

    def end(self, tag: str) -> None:
        """Handle the end of an element."""
        self._in_styles = self._in_styles and not tag.endswith("cellXfs")

    def data(self, text: str) -> None:
        """Handle text."""

    def close(self) -> None:
        """Handle the end of the document."""

    def format_value(self, style: str, value: str) -> str:
        """Return the value of a cell as it is, or as an ISO date or time if its style is one."""
        number = _to_int(style)
        code = self._styles[number] if 0 <= number < len(self._styles) else ""
        has_date, has_time = "d" in code or "yy" in code, "h" in code
        if not (has_date or has_time):
            return value
        with suppress(ValueError, OverflowError):
            serial = float(value)
            if not has_date and serial >= 1:  # hours, which may be more than 24
                return value
            # Excel has a 29 February 1900.
            days = serial + 1_462 if self._is_1904 else serial + (serial < 60)
            time = datetime(1899, 12, 30) + timedelta(minutes=round(days * 1_440))
            formats = ["%Y-%m-%d"] * has_date + ["%H:%M"] * (has_time and (serial % 1 > 0 or not has_date))
            return time.strftime(" ".join(formats))
        return value


def _to_int(text: str) -> int:
    """Return a number; -1 if it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


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

    def __init__(self, shared_texts: list[str], date_styles: DateStyles) -> None:
        self.rows: list[tuple[int, str]] = []  # number of the sheet from 1, and text
        self.sheet = 0
        self.started = False
        self._shared_texts, self._date_styles = shared_texts, date_styles
        self._cells: list[str] = []
        self._cell_type, self._cell_style, self._in_value = "", "", False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle the start of an element."""
        name, self.started = tag.rpartition("}")[2], True
        if name in ("sheetData", "table"):
            self.sheet += 1
        elif name in CELL_ELEMENTS:
            self._cells.append("")
            self._cell_type, self._cell_style = attributes.get("t", ""), attributes.get("s", "")
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
        elif name == "c" and self._cell_type in ("", "n") and self._cell_style and self._cells:
            self._cells[-1] = self._date_styles.format_value(self._cell_style, self._cells[-1])
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


def read_excel_rows(document: ZipDocument, parts: ExcelParts, sheets: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the sheet, from 1, and the text of each row of an Excel file, given its members."""
    shared, dates = SharedStringCollector(), DateStyles(is_1904=parts.is_1904)
    if parts.shared_strings in document.member_names:
        for _ in document.parse_member(parts.shared_strings, shared):
            pass
    if parts.styles in document.member_names:
        with suppress(ParseError):  # the values are readable without
            for _ in document.parse_member(parts.styles, dates):
                pass
    for number, sheet in enumerate(sheets, start=1):
        if sheet in document.member_names:
            rows = read_rows(document, sheet, RowCollector(shared.texts, dates))
            yield from ((number, text) for _, text in rows)


def read_rows(document: ZipDocument, name: str, collector: RowCollector) -> Iterator[tuple[int, str]]:
    """Yield the sheet, from 1, and the text of each row of a member."""
    for _ in document.parse_member(name, collector):
        yield from collector.pop_rows()
