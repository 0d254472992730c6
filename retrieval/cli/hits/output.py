"""Show hits: a table in a terminal, tab-separated lines in a pipe, or the requested format."""

import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from retrieval.cli.console import note, write
from retrieval.cli.hits import formats
from retrieval.errors import ModelOutdated
from retrieval.formatting import format_share
from retrieval.media.archives.archive import path_exists
from retrieval.types import CONFIDENCE_THRESHOLD, Hit, Hits

if TYPE_CHECKING:
    from retrieval.library import Library

NO_HITS = "Nothing found."


def describe_best_match(hits: list[Hit]) -> str:
    """Return the match of the best hit and the match that is required."""
    best = max(hit.confidence or 0 for hit in hits)
    return f"the best match is {format_share(best)}, the minimum {format_share(CONFIDENCE_THRESHOLD)}"


def show_hits(
    hits: list[Hit],
    output_format: str | None,
    library: "Library",
    group: bool = False,
    words: str = "",
    empty_message: str = NO_HITS,
) -> None:
    """Write hits to stdout and notes on them to stderr; exit with 1 if there are no hits.

    A table marks these words of the query in the texts.
    """
    writers: dict[str, Callable[[list[Hit]], str]] = {
        "json": partial(formats.as_json, group=group),
        "nl": partial(formats.as_json_lines, group=group),
        "csv": partial(formats.as_csv, group=group),
        "paths": formats.as_paths,
        "null": partial(formats.as_paths, end="\0"),
    }
    if output_format is None and any(hit.why or hit.labels for hit in hits):
        write(formats.as_explanations(hits))
    elif output_format is None and sys.stdout.isatty():
        from retrieval.cli.hits.table import print_table

        print_table(hits, {hit.id: library.text(hit) or "" for hit in hits}, words)
    else:
        write(writers.get(output_format or "", partial(formats.as_tsv, group=group))(hits))
    note(library.damage)
    if library.is_outdated:
        note(str(ModelOutdated()))
    note(hits.note if isinstance(hits, Hits) else None)
    if any(not hit.offline and not path_exists(hit.path) for hit in hits):
        note("Some of these files no longer exist. Run `clew index` to update the library.")
    if any(hit.offline for hit in hits):
        note("Some of these files are offline: their folder is not available now.")
    if not hits:
        note(empty_message)
        raise SystemExit(1)
