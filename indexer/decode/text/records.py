"""Texts of files that consist of records: the rows of tables, and the events of calendars."""

import csv
import re
from collections.abc import Iterator
from typing import NamedTuple

from indexer.decode.text.caption_rows import DELIMITERS, read_cells
from indexer.decode.text.chunking import split_lines

TABLE_SUFFIXES, CALENDAR_SUFFIXES = (".csv", ".tsv"), (".ics",)
WORD = re.compile(r"[^\W\d_]{2}")  # a row without one has only numbers
CALENDAR_FIELDS = ("SUMMARY", "DTSTART", "LOCATION", "DESCRIPTION")
CALENDAR_RECORDS = ("VEVENT", "VTODO", "VJOURNAL")
CALENDAR_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d).*)?")
# Name, parameters and value of a line (RFC 5545, 3.1); a colon in a quoted parameter is part of it.
CONTENT_LINE = re.compile(r"""([^:;]*+)((?:"[^"]*+"|[^":])*+):(.*)""", re.S)
ESCAPED = re.compile(r"\\(.)", re.S)


class Record(NamedTuple):
    """The text of a record, and its first line, from 1."""

    text: str
    line: int


def table_records(text: str) -> Iterator[Record]:
    """Yield the rows of a table that have words; their cells are separated by commas."""
    lines = split_lines(text)
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader((line.rstrip("\r") + "\n" for line in lines), delimiter=delimiter)
    for line, cells in read_cells(reader):
        row = ", ".join(cell for cell in (" ".join(cell.split()) for cell in cells) if cell)
        if WORD.search(row):
            yield Record(row, line)


def calendar_records(text: str) -> Iterator[Record]:
    """Yield the title, time, place and description of each event of a calendar (RFC 5545)."""
    fields: dict[str, str] = {}
    first = depth = 0  # the first line of the record, and the number of open components in it, such as alarms
    for number, line in _unfolded_lines(text):
        match = CONTENT_LINE.fullmatch(line)
        name, value = (match[1], match[3]) if match else line.partition(":")[::2]
        name = name.partition(";")[0].strip().upper()
        if name == "BEGIN" and value.strip().upper() in CALENDAR_RECORDS:
            fields, first, depth = {}, number, 0
        elif name == "END" and value.strip().upper() in CALENDAR_RECORDS:
            texts = (fields[field] for field in CALENDAR_FIELDS if fields.get(field))
            if first and (record := "\n".join(texts)):
                yield Record(record, first)
            fields, first = {}, 0
        elif name in ("BEGIN", "END"):
            depth = max(0, depth + (1 if name == "BEGIN" else -1))
        elif first and not depth and name in CALENDAR_FIELDS:
            fields.setdefault(name, _calendar_value(name, value))


def _unfolded_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number; a line that starts with a space continues the one before."""
    parts, first = list[str](), 1
    for number, line in enumerate(split_lines(text), start=1):
        line = line.rstrip("\r")
        if line[:1] in (" ", "\t") and parts:
            parts.append(line[1:])
            continue
        if parts:
            yield first, "".join(parts)
        parts, first = [line], number
    yield first, "".join(parts)


def _calendar_value(name: str, value: str) -> str:
    if name == "DTSTART":
        match = CALENDAR_DATE.fullmatch(value.strip())
        if match is None:
            return ""
        return "-".join(match.groups()[:3]) + (f" {match[4]}:{match[5]}" if match[4] else "")
    return ESCAPED.sub(lambda escape: "\n" if escape[1] in "nN" else escape[1], value).strip()
