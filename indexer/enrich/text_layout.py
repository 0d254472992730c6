"""The reading order of recognized text lines, and passages of them."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from indexer.decode.text.chunking import Chunker

MIN_SECTION_GAP = 1.0  # line heights between sections
MIN_COLUMN_GAP = 1.5  # line heights between columns
MIN_RUNNING_TEXT = 12  # median letters of the lines of a text column; those of a price column are shorter
MAX_DEPTH = 20  # of nested sections


class Line(NamedTuple):
    """A line of text and its box, in pixels."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def transformed(self, left: float, top: float, factor: float) -> "Line":
        """Return the line moved by (left, top), then scaled by a factor."""
        edges = (self.left + left, self.top + top, self.right + left, self.bottom + top)
        return Line(self.text, *(edge * factor for edge in edges))


class TextBlock(NamedTuple):
    """A passage and its box."""

    text: str
    box: tuple[int, int, int, int]  # left, top, width, height in pixels


def text_blocks(lines: Iterable[Line], chunker: Chunker) -> Iterator[TextBlock]:
    """Yield passages of complete rows, in reading order, that fit the text encoder."""
    block: list[Line] = []
    token_count = 0
    for row in reading_order(list(lines)):
        row_tokens = chunker.count_tokens(row.text)
        if block and token_count + row_tokens > chunker.max_tokens:
            yield from _rows_to_blocks(block, chunker)
            block, token_count = [], 0
        block.append(row)
        token_count += row_tokens
    yield from _rows_to_blocks(block, chunker)


def _rows_to_blocks(rows: Sequence[Line], chunker: Chunker) -> Iterator[TextBlock]:
    """Yield rows as one passage; only a row that is too long is split."""
    for passage in chunker.passages(" ".join(row.text for row in rows)):
        if sum(map(str.isalpha, passage.text)) > 1 or sum(map(str.isalnum, passage.text)) > 2:
            yield TextBlock(passage.text, _bounding_box(rows))


def reading_order(lines: Sequence[Line], depth: int = 0) -> Iterator[Line]:
    """Yield rows in reading order: sections from the top, columns within them, rows within those.

    Lines of the same height are joined to one row, such as an item and its price. Recursive XY-cut: Nagy &
    Seth, 1984.
    """
    if not lines:
        return
    height = median(line.bottom - line.top for line in lines)
    sections = _split_at_gaps(lines, "top", "bottom", MIN_SECTION_GAP * height)
    if len(sections) > 1 and depth < MAX_DEPTH:
        for section in sections:
            yield from reading_order(section, depth + 1)
        return
    columns = _split_at_gaps(lines, "left", "right", MIN_COLUMN_GAP * height)
    if len(columns) > 1 and depth < MAX_DEPTH and all(map(_is_running_text, columns)):
        for column in columns:
            yield from reading_order(column, depth + 1)
        return
    yield from map(_join_row, _group_by_row(lines))


def _split_at_gaps(lines: Sequence[Line], start_edge: str, end_edge: str, gap: float) -> list[list[Line]]:
    """Split lines along one axis where the space between them exceeds a gap."""
    groups: list[list[Line]] = []
    group_end = 0.0
    for line in sorted(lines, key=lambda line: getattr(line, start_edge)):
        if groups and getattr(line, start_edge) - group_end <= gap:
            groups[-1].append(line)
        else:
            groups.append([line])
            group_end = getattr(line, end_edge)
        group_end = max(group_end, getattr(line, end_edge))
    return groups


def _is_running_text(lines: Sequence[Line]) -> bool:
    """Return True if lines are a column of text."""
    return len(lines) > 1 and median(len(line.text) for line in lines) >= MIN_RUNNING_TEXT


def _group_by_row(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines into rows: the center of each line is within the height of the row's first line."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.top + line.bottom):
        first = rows[-1][0] if rows else None
        if first is not None and (line.top + line.bottom) / 2 < first.bottom - 0.2 * (
            first.bottom - first.top
        ):
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


def _join_row(row: Sequence[Line]) -> Line:
    parts = sorted(row, key=lambda line: line.left)
    left, top, right, bottom = zip(*(line[1:] for line in parts), strict=True)
    return Line(" ".join(line.text for line in parts), min(left), min(top), max(right), max(bottom))


def _bounding_box(rows: Sequence[Line]) -> tuple[int, int, int, int]:
    """Return the bounding box of rows: left, top, width and height, as integers."""
    joined = _join_row(rows)
    left, top = int(joined.left), int(joined.top)
    return left, top, max(1, round(joined.right) - left), max(1, round(joined.bottom) - top)
