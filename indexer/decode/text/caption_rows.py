"""Parser of caption tables: a column of image paths and one or more columns of captions.

CSV and TSV files have a header; in JSON lines every line names its columns, and captions may be lists.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

from indexer.decode.text.chunking import split_lines
from indexer.decode.text.encoding import decode_text
from retrieval.errors import MediaError
from retrieval.normalization import without_surrogates

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

IMAGE_COLUMNS = (
    *("image", "img", "picture", "photo", "file_name", "filename", "file", "path", "filepath", "file_path"),
    *("image_path", "image_file", "image_name", "image_filename", "img_path", "img_name"),
)
CAPTION_COLUMNS = ("caption", "captions", "text", "title", "description", "comment", "sentence", "sentences")
NO_CAPTIONS = "no captions in it: expected columns image and caption"
MAX_CAPTION_CHARACTERS = 10_000  # of one caption; more is a quote that is not closed
HEADER_BYTES = 1 << 16  # from the start of a table, which decide whether it has captions
DELIMITERS = ",;\t|"


class CaptionRow(NamedTuple):
    """The captions of an image in one row; lines count from 1."""

    line: int
    image: str
    captions: tuple[str, ...]


class CaptionColumns(NamedTuple):
    """The names of the image column and the caption columns, as the table spells them."""

    image: str
    captions: tuple[str, ...]


def find_columns(names: Sequence[object]) -> CaptionColumns | None:
    """Return the image and caption columns of a table; None if one of them is missing."""
    plain = {_normalize_name(name): str(name) for name in reversed(names)}  # the first of equal names wins
    image = next((plain[name] for name in IMAGE_COLUMNS if name in plain), None)
    captions = tuple(plain[name] for name in CAPTION_COLUMNS if name in plain)
    return CaptionColumns(image, captions) if image is not None and captions else None


def has_captions(head: bytes, suffix: str) -> bool:
    """Return True if a table that starts with these bytes (up to HEADER_BYTES) has captions."""
    try:
        text = decode_text(head)
    except MediaError:
        return False
    if suffix in (".jsonl", ".ndjson"):  # other lines may come first
        return any(row and find_columns(list(row)) for row in map(_parse_object, split_lines(text)))
    first = next((line for line in split_lines(text) if line.strip()), "")
    return _detect_delimiter(first) is not None


def caption_rows(text: str, suffix: str) -> Iterator[CaptionRow]:
    """Yield the rows that have an image; raises MediaError if the table has no caption columns.

    Broken rows are skipped. A quote that is not closed loses the text after it.
    """
    return _json_rows(text) if suffix in (".jsonl", ".ndjson") else _csv_rows(text)


def _csv_rows(text: str) -> Iterator[CaptionRow]:
    lines = StringIO(text, newline="")
    header_line, header = next(((n, line) for n, line in enumerate(lines, start=1) if line.strip()), (1, ""))
    delimiter = _detect_delimiter(header)
    if delimiter is None:
        raise MediaError(NO_CAPTIONS)
    names = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True))
    columns = find_columns(names)
    assert columns is not None, "the delimiter was chosen by its columns"
    image, texts = names.index(columns.image), [names.index(name) for name in columns.captions]
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    for line, cells in read_cells(reader):
        if image < len(cells) and cells[image].strip():
            captions = (cells[column] for column in texts if column < len(cells))
            yield CaptionRow(header_line + line, cells[image].strip(), _clean_texts(captions))


def read_cells(reader: "CsvReader") -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row, from 1; a row that csv refuses has no cells."""
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a field above the limit of csv: a quote that is not closed
            cells = []
        yield line, cells
        line = reader.line_num + 1


def _json_rows(text: str) -> Iterator[CaptionRow]:
    has_columns = False
    for number, line in enumerate(split_lines(text), start=1):
        row = _parse_object(line) if line.strip() else None
        columns = None if row is None else find_columns(list(row))
        if row is None or columns is None:
            continue
        has_columns = True
        if isinstance(image := row[columns.image], str) and image.strip():
            values = [row[name] for name in columns.captions]
            texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
            captions = _clean_texts(text for text in texts if isinstance(text, str))
            yield CaptionRow(number, image.strip(), captions)
    if not has_columns:
        raise MediaError(NO_CAPTIONS)


def _detect_delimiter(header_line: str) -> str | None:
    """Return the delimiter of a table with captions; None if the header has no such columns."""
    for delimiter in DELIMITERS:
        try:
            names = next(csv.reader([header_line], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            continue
        if find_columns(names) is not None:
            return delimiter
    return None


def _parse_object(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _clean_texts(texts: Iterator[str]) -> tuple[str, ...]:
    """Return each caption once, without the lone surrogates that JSON allows."""
    clean = (" ".join(without_surrogates(text).replace("\0", "").split()) for text in texts)
    return tuple(dict.fromkeys(text for text in clean if 0 < len(text) <= MAX_CAPTION_CHARACTERS))


def _normalize_name(name: object) -> str:
    return "_".join(str(name).strip(" \ufeff\"'").casefold().replace("-", " ").split())
