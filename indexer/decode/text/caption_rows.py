"""Tables of captions: a column that names a picture, and one or more that say what is in it.

CSV and TSV have a line of column names; of JSON lines each has its own, and captions may be a list.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any, NamedTuple

from indexer.decode.text.encoding import decode_text
from retrieval.errors import MediaError

IMAGE_COLUMNS = (
    *("image", "img", "picture", "photo", "file_name", "filename", "file", "path", "filepath", "file_path"),
    *("image_path", "image_file", "image_name", "image_filename", "img_path", "img_name"),
)
CAPTION_COLUMNS = ("caption", "captions", "text", "title", "description", "comment", "sentence", "sentences")
NO_CAPTIONS = "no captions in it: expected columns image and caption"
MAX_CAPTION_CHARACTERS = 10_000  # letters of a caption; more is a quote that is not closed
HEADER_BYTES = 1 << 16  # bytes in which the first line is
DELIMITERS = ",;\t|"


class CaptionRow(NamedTuple):
    """What one line, counted from 1, says of a picture."""

    line: int
    image: str
    captions: tuple[str, ...]


class CaptionColumns(NamedTuple):
    """The names of the column of pictures and of those of captions, as the table spells them."""

    image: str
    captions: tuple[str, ...]


def find_columns(names: Sequence[object]) -> CaptionColumns | None:
    """Find the columns among a table's; None where there are none."""
    plain = {_normalize_name(name): str(name) for name in reversed(names)}  # of two of a name the first
    picture = next((plain[name] for name in IMAGE_COLUMNS if name in plain), None)
    captions = tuple(plain[name] for name in CAPTION_COLUMNS if name in plain)
    return CaptionColumns(picture, captions) if picture is not None and captions else None


def has_captions(head: bytes, suffix: str) -> bool:
    """Say whether a table that begins with these bytes, BEGINNING of them or all, holds captions."""
    try:
        text = decode_text(head)
    except MediaError:
        return False
    if suffix in (".jsonl", ".ndjson"):  # a header or garbage may come first
        return any(row and find_columns(list(row)) for row in map(_parse_object, text.splitlines()))
    first = next((line for line in text.splitlines() if line.strip()), "")
    return _detect_delimiter(first) is not None


def caption_rows(text: str, suffix: str) -> Iterator[CaptionRow]:
    """Yield the rows that name a picture and say something; raises MediaError where there are no captions.

    A row that is broken is passed over; what follows a quote that is not closed is lost.
    """
    return _json_rows(text) if suffix in (".jsonl", ".ndjson") else _csv_rows(text)


def _csv_rows(text: str) -> Iterator[CaptionRow]:
    lines = StringIO(text, newline="")
    above, first = next(((n, line) for n, line in enumerate(lines, start=1) if line.strip()), (1, ""))
    delimiter = _detect_delimiter(first)
    if delimiter is None:
        raise MediaError(NO_CAPTIONS)
    names = next(csv.reader([first], delimiter=delimiter, skipinitialspace=True))
    found = find_columns(names)
    assert found is not None, "the delimiter is one that finds them"
    at, texts = names.index(found.image), [names.index(name) for name in found.captions]
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    line = above + 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a field beyond all measure: a quote that is not closed
            cells = []
        if at < len(cells) and cells[at].strip():
            said = (cells[column] for column in texts if column < len(cells))
            yield CaptionRow(line, cells[at].strip(), _clean_texts(said))
        line = above + reader.line_num + 1


def _json_rows(text: str) -> Iterator[CaptionRow]:
    found = False
    for number, line in enumerate(text.split("\n"), start=1):
        row = _parse_object(line) if line.strip() else None
        named = None if row is None else find_columns(list(row))
        if row is None or named is None:
            continue
        found = True
        if isinstance(picture := row[named.image], str) and picture.strip():
            values = [row[name] for name in named.captions]
            said = [one for value in values for one in (value if isinstance(value, list) else [value])]
            yield CaptionRow(
                number, picture.strip(), _clean_texts(one for one in said if isinstance(one, str))
            )
    if not found:
        raise MediaError(NO_CAPTIONS)


def _detect_delimiter(header_line: str) -> str | None:
    """Return what stands between the names of columns, None where they are not those of captions."""
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
    """Return each caption once, without halves of characters, which JSON can spell."""
    clean = (" ".join(text.encode("utf-8", "replace").decode().replace("\0", "").split()) for text in texts)
    return tuple(dict.fromkeys(text for text in clean if 0 < len(text) <= MAX_CAPTION_CHARACTERS))


def _normalize_name(name: object) -> str:
    return "_".join(str(name).strip(" \ufeff\"'").casefold().replace("-", " ").split())
