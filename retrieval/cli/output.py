"""Print hits as a table or in the requested format."""

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from retrieval import formatting
from retrieval.cli import hit_formats
from retrieval.cli.console import note, relative_path, write
from retrieval.media.archives.archive import path_exists
from retrieval.types import CONFIDENCE_THRESHOLD, Hit

if TYPE_CHECKING:
    from retrieval.library import Library


def best_match_text(hits: list[Hit]) -> str:
    """Say how good the best match is."""
    best = max(hit.confidence or 0 for hit in hits)
    return f"the best has a match of {best:.0%}, and {CONFIDENCE_THRESHOLD:.0%} is asked"


def show_hits(
    hits: list[Hit],
    output_format: str | None,
    library: "Library",
    group: bool = False,
    empty_message: str = "Nothing found.",
) -> None:
    """Write hits in the shape asked for, by default a table at a terminal and lines in a pipe."""
    shapes: dict[str, Callable[[list[Hit]], str]] = {
        "json": partial(hit_formats.as_json, group=group),
        "nl": partial(hit_formats.as_json_lines, group=group),
        "csv": partial(hit_formats.as_csv, group=group),
        "paths": hit_formats.as_paths,
        "null": partial(hit_formats.as_paths, end="\0"),
    }
    if output_format is None and any(hit.why for hit in hits):
        write(hit_formats.as_explanations(hits, relative_path))
    elif output_format is None and sys.stdout.isatty():
        show_table(hits)
    else:
        write(shapes.get(output_format or "", partial(hit_formats.as_tsv, group=group))(hits))
    note(library.damage)
    if any(not hit.offline and not path_exists(hit.path) for hit in hits):
        note("Some of these have gone since they were indexed; `clew index` brings the library up to date.")
    if any(hit.offline for hit in hits):
        note("Some of these are on a folder that is not there now (offline).")
    if not hits:
        note(empty_message)
        raise SystemExit(1)


def show_table(hits: list[Hit]) -> None:
    """Print hits as a table as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    mixed = len({hit.kind for hit in hits}) > 1
    texts = console.width >= 60 and any(hit.text for hit in hits)
    places = [
        " ".join(
            filter(
                None,
                (
                    relative_path(formatting.format_location(hit)),
                    "(offline)" * hit.offline,
                    hit_formats.group_count(hit),
                ),
            )
        )
        for hit in hits
    ]
    room = console.width - 2 * (3 + mixed + texts) - 12 - 5 * mixed  # what path and text may share
    widest = max(map(len, places), default=0)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("match", justify="right")
    table.add_column("score")
    if mixed:
        table.add_column("kind")
    table.add_column("path", overflow="fold", min_width=min(widest, room - 24 * texts))
    if texts:
        table.add_column("text", overflow="ellipsis", no_wrap=True, max_width=max(24, room - widest))
    for rank, (hit, place) in enumerate(zip(hits, places, strict=True), start=1):
        kind = [hit.kind] if mixed else []
        text = [Text(formatting.printable(hit.text or ""))] if texts else []
        match = "" if hit.confidence is None else f"{100 * hit.confidence:.0f} %"
        style = "dim" if hit.match == "weak" else None
        table.add_row(str(rank), match, f"{hit.score:.3f}", *kind, Text(place), *text, style=style)
    if hits:
        console.print(table)
