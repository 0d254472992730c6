"""Print hits as a table with one line per hit, as wide as the terminal."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Console, JustifyMethod
from rich.style import Style
from rich.table import Table
from rich.text import Text

from retrieval.cli.console import relative_path
from retrieval.cli.hits.formats import group_count
from retrieval.cli.hits.snippets import ELLIPSIS, snippet
from retrieval.formatting import format_share, location_suffix, printable
from retrieval.media.archives.archive import split_archive_path
from retrieval.types import Hit

COLUMN_GAP = 2
MIN_TEXT_WIDTH = 24  # columns that long paths leave to the text, but at most a third
MAX_LIBRARY_WIDTH = 20  # columns
MIN_WIDTH_WITH_TEXT = 60  # columns; narrower terminals show no text


def print_table(
    hits: Sequence[Hit], texts: Sequence[str], words: str = "", console: Console | None = None
) -> None:
    """Print rank, id, match, score, kind and library (if the hits have several), path and text.

    Hits that were listed without a query have a date instead of match and score. `texts` are the texts in
    the order of the hits; these words of a query are marked in them.
    """
    if not hits:
        return
    console = console or Console()
    columns = {
        "#": [str(rank) for rank in range(1, len(hits) + 1)],
        "id": [f"#{hit.id}" for hit in hits],
    }
    if any(hit.score or hit.confidence for hit in hits):
        columns["match"] = ["" if hit.confidence is None else format_share(hit.confidence) for hit in hits]
        columns["score"] = [f"{hit.score:.3f}" for hit in hits]
    else:
        columns["date"] = [printable((hit.time or "")[:10]) for hit in hits]
    if len({hit.kind for hit in hits}) > 1:
        columns["kind"] = [hit.kind for hit in hits]
    if any(hit.library for hit in hits):
        columns["library"] = [_short_name(hit.library or "") for hit in hits]
    paths = [printable(relative_path(hit.path)) for hit in hits]
    suffixes = [_suffix(hit) for hit in hits]
    shown = console.width >= MIN_WIDTH_WITH_TEXT
    previews = [printable(" ".join(text.split())) for text in texts] if shown else []
    available = console.width - sum(_width([title, *cells]) + COLUMN_GAP for title, cells in columns.items())
    path_width, text_width = divide_width(
        _width(path + suffix for path, suffix in zip(paths, suffixes, strict=True)),
        _width(previews),
        available,
    )
    table = Table(box=None, pad_edge=False, padding=(0, COLUMN_GAP, 0, 0), header_style="dim")
    for title, cells in columns.items():
        justify: JustifyMethod = "right" if title in ("#", "id", "match") else "left"
        table.add_column(title, justify=justify, no_wrap=True, min_width=_width([title, *cells]))
    table.add_column("path", no_wrap=True, min_width=path_width)
    if text_width:
        table.add_column("text", no_wrap=True, max_width=text_width)
    for row, hit in enumerate(hits):
        path = shorten_path(paths[row], path_width - cell_len(suffixes[row]))
        values = [cells[row] for cells in columns.values()]
        location = Text.assemble((path, Style(link=file_uri(hit.path))), suffixes[row])
        text = [snippet(previews[row], words, text_width)] if text_width else []
        table.add_row(*values, location, *text, style="dim" if hit.match == "weak" else None)
    console.print(table)


def _short_name(library: str) -> str:
    """Return the end of the name of a library."""
    name = printable(library.removeprefix("http://").removeprefix("https://").rstrip("/"))
    return name if cell_len(name) <= MAX_LIBRARY_WIDTH else ELLIPSIS + name[1 - MAX_LIBRARY_WIDTH :]


def divide_width(paths: int, texts: int, available: int) -> tuple[int, int]:
    """Return the widths of the path and the text column from their widest cells; 0 means no text column."""
    if not texts:
        return max(1, min(paths, available)), 0
    available -= COLUMN_GAP
    path_width = max(1, min(paths, available - min(texts, MIN_TEXT_WIDTH, available // 3)))
    return path_width, min(texts, available - path_width)


def shorten_path(path: str, width: int) -> str:
    """Return the path in at most `width` columns: `Photos/…/beach.jpg`, else `…/beach.jpg`, else `be….jpg`.

    The first folder and as many of the last as fit are kept. A width below 1 still returns `…`.
    """
    if cell_len(path) <= width:
        return path
    root = "/" * path.startswith("/")
    first, *folders, name = path.removeprefix("/").split("/") if "/" in path[1:] else ("", path)
    for count in range(len(folders), -1, -1):
        shortened = "/".join([f"{root}{first}", ELLIPSIS, *folders[len(folders) - count :], name])
        if first and cell_len(shortened) <= width:
            return shortened
    if cell_len(name) + 2 <= width:
        return f"{ELLIPSIS}/{name}"
    return _shorten_middle(name, width)


def file_uri(path: Path) -> str:
    """Return the file: URI of a file, or of the archive that contains it."""
    archive = split_archive_path(os.fsencode(path))
    return (path if archive is None else Path(os.fsdecode(archive[0]))).as_uri()


def _shorten_middle(name: str, width: int) -> str:
    """Return a name in at most `width` columns, without its middle."""
    end = (width - 1) // 2
    tail = ""
    for character in reversed(name):
        if cell_len(character + tail) > end:
            break
        tail = character + tail
    return set_cell_size(name, max(0, width - 1 - cell_len(tail))).rstrip() + ELLIPSIS + tail


def _suffix(hit: Hit) -> str:
    """Return the end of a location, which is never cut: page, time or box, state and group size."""
    group = f" {group_count(hit)}" if hit.more else ""
    return printable(location_suffix(hit)) + " (offline)" * hit.offline + group


def _width(cells: Iterable[str]) -> int:
    return max(map(cell_len, cells), default=0)
