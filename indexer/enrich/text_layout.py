"""Lines of text found on a picture, in the order in which a person reads them."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from indexer.decode.text.chunking import Chunker

MIN_SECTION_GAP = 1.0  # empty space across a section, in heights of a line
MIN_COLUMN_GAP = 1.5  # empty space between columns, in heights of a line
MIN_RUNNING_TEXT = 12  # letters of a line, at which it is running text and no price beside its thing
MAX_DEPTH = 20  # sections within sections


class Line(NamedTuple):
    """Some words on a picture and where they are, in pixels."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def transformed(self, left: float, top: float, factor: float) -> "Line":
        """Return the line on a picture so many times as large as the one it was found on a part of."""
        across, down = (self.left + left, self.right + left), (self.top + top, self.bottom + top)
        return Line(self.text, across[0] * factor, down[0] * factor, across[1] * factor, down[1] * factor)


class TextBlock(NamedTuple):
    """A passage and where it is: left, top, width and height in pixels."""

    text: str
    box: tuple[int, int, int, int]


def text_blocks(lines: Iterable[Line], chunker: Chunker) -> Iterator[TextBlock]:
    """Yield passages that the text tower can read, of whole rows in the order of reading."""
    held: list[Line] = []
    spent = 0
    for row in reading_order(list(lines)):
        price = chunker.count_tokens(row.text)
        if held and spent + price > chunker.max_tokens:
            yield from _rows_to_blocks(held, chunker)
            held, spent = [], 0
        held.append(row)
        spent += price
    yield from _rows_to_blocks(held, chunker)


def _rows_to_blocks(rows: Sequence[Line], chunker: Chunker) -> Iterator[TextBlock]:
    """Yield rows as one passage; only a row that is too long for one is cut."""
    for passage in chunker.passages(" ".join(row.text for row in rows)):
        if sum(map(str.isalpha, passage.text)) > 1 or sum(map(str.isalnum, passage.text)) > 2:
            yield TextBlock(passage.text, _bounding_box(rows))


def reading_order(lines: Sequence[Line], depth: int = 0) -> Iterator[Line]:
    """Yield rows in the order of reading: sections from the top, in these columns, in these rows.

    What stands on one row is one line, as a thing and its price. Recursive XY-cut: Nagy & Seth, 1984.
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
    """Cut where there is nothing over more than a gap, along one axis."""
    groups: list[list[Line]] = []
    reach = 0.0
    for line in sorted(lines, key=lambda line: getattr(line, start_edge)):
        if groups and getattr(line, start_edge) - reach <= gap:
            groups[-1].append(line)
        else:
            groups.append([line])
            reach = getattr(line, end_edge)
        reach = max(reach, getattr(line, end_edge))
    return groups


def _is_running_text(lines: Sequence[Line]) -> bool:
    """Say whether these lines are running text."""
    return len(lines) > 1 and median(len(line.text) for line in lines) >= MIN_RUNNING_TEXT


def _group_by_row(lines: Sequence[Line]) -> list[list[Line]]:
    """Group what stands beside each other: a line whose middle is within the row's first."""
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
    """Return the smallest box around rows, in whole pixels."""
    around = _join_row(rows)
    left, top = int(around.left), int(around.top)
    return left, top, max(1, round(around.right) - left), max(1, round(around.bottom) - top)
