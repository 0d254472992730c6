"""Lines of text found on a picture, in the order in which a person reads them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from indexer.decode.text.chunking import split

GAP = 1.0  # empty space across a section, in heights of a line
GUTTER = 1.5  # empty space between columns, in heights of a line
RUNNING = 12  # letters of a line, at which it is running text and no price beside its thing
DEEP = 20  # sections within sections


class Line(NamedTuple):
    """Some words on a picture and where they are, in pixels."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def placed(self, left: float, top: float, factor: float) -> "Line":
        """Return the line on a picture so many times as large as the one it was found on a part of."""
        across, down = (self.left + left, self.right + left), (self.top + top, self.bottom + top)
        return Line(self.text, across[0] * factor, down[0] * factor, across[1] * factor, down[1] * factor)


class Words(NamedTuple):
    """A passage and where it is: left, top, width and height in pixels."""

    text: str
    box: tuple[int, int, int, int]


def passages(lines: Iterable[Line], tokens: Callable[[str], int], limit: int) -> Iterator[Words]:
    """Yield passages that the text tower can read, of whole rows in the order of reading."""
    held: list[Line] = []
    spent = 0
    for row in rows_of(list(lines)):
        price = tokens(row.text)
        if held and spent + price > limit:
            yield from _passages(held, tokens, limit)
            held, spent = [], 0
        held.append(row)
        spent += price
    yield from _passages(held, tokens, limit)


def _passages(rows: Sequence[Line], tokens: Callable[[str], int], limit: int) -> Iterator[Words]:
    """Yield rows as one passage; only a row that is too long for one is cut."""
    for passage in split(" ".join(row.text for row in rows), tokens, limit):
        if sum(map(str.isalpha, passage.text)) > 1 or sum(map(str.isalnum, passage.text)) > 2:
            yield Words(passage.text, _box(rows))


def rows_of(lines: Sequence[Line], depth: int = 0) -> Iterator[Line]:
    """Yield rows in the order of reading: sections from the top, in these columns, in these rows.

    What stands on one row is one line, as a thing and its price. Recursive XY-cut: Nagy & Seth, 1984.
    """
    if not lines:
        return
    height = median(line.bottom - line.top for line in lines)
    sections = _cut(lines, "top", "bottom", GAP * height)
    if len(sections) > 1 and depth < DEEP:
        for section in sections:
            yield from rows_of(section, depth + 1)
        return
    columns = _cut(lines, "left", "right", GUTTER * height)
    if len(columns) > 1 and depth < DEEP and all(map(_runs, columns)):
        for column in columns:
            yield from rows_of(column, depth + 1)
        return
    yield from map(_joined, _by_row(lines))


def _cut(lines: Sequence[Line], near: str, far: str, gap: float) -> list[list[Line]]:
    """Cut where there is nothing over more than a gap, along one axis."""
    groups: list[list[Line]] = []
    reach = 0.0
    for line in sorted(lines, key=lambda line: getattr(line, near)):
        if groups and getattr(line, near) - reach <= gap:
            groups[-1].append(line)
        else:
            groups.append([line])
            reach = getattr(line, far)
        reach = max(reach, getattr(line, far))
    return groups


def _runs(lines: Sequence[Line]) -> bool:
    """Say whether these lines are running text."""
    return len(lines) > 1 and median(len(line.text) for line in lines) >= RUNNING


def _by_row(lines: Sequence[Line]) -> list[list[Line]]:
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


def _joined(row: Sequence[Line]) -> Line:
    parts = sorted(row, key=lambda line: line.left)
    left, top, right, bottom = zip(*(line[1:] for line in parts), strict=True)
    return Line(" ".join(line.text for line in parts), min(left), min(top), max(right), max(bottom))


def _box(rows: Sequence[Line]) -> tuple[int, int, int, int]:
    """Return the smallest box around rows, in whole pixels."""
    around = _joined(rows)
    left, top = int(around.left), int(around.top)
    return left, top, max(1, round(around.right) - left), max(1, round(around.bottom) - top)
