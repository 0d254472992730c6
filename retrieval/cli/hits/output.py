"""Show hits: a table in a terminal, tab-separated lines in a pipe, or the requested format."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import click

from retrieval.cli.console import is_terminal, note, write
from retrieval.cli.hits import formats
from retrieval.errors import ModelOutdated
from retrieval.formatting import format_share, pluralize, printable
from retrieval.media.archives.archive import path_exists
from retrieval.system import is_server_address
from retrieval.types import CONFIDENCE_THRESHOLD, Hit, Hits

NO_HITS = "Nothing found."


class HitSource(Protocol):
    """The source of hits, for the parts of a library that are shown with them."""

    @property
    def damage(self) -> str | None:
        """Return the problem with the index files, if any."""

    @property
    def is_outdated(self) -> bool:
        """Return True if the model is no longer part of clew."""

    def text(self, hit: Hit) -> str | None:
        """Return the text of a hit."""

    def thumbnail(self, hit: Hit | int) -> bytes | None:
        """Return the thumbnail of a hit."""


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """Options of the commands that show hits."""

    output_format: str | None = None  # json, nl, csv, paths or null
    show_all: bool = False  # the nearest hits even if none matches well
    preview: bool = False  # pictures in the terminal
    open_rank: int | None = None  # of the hit whose file is opened


DEFAULT_OPTIONS = ShowOptions()


def describe_best_match(hits: list[Hit]) -> str:
    """Return the match of the best hit and the match that is required."""
    best = max(hit.confidence or 0 for hit in hits)
    return f"the best match is {format_share(best)}, the minimum {format_share(CONFIDENCE_THRESHOLD)}"


def show_hits(
    hits: list[Hit],
    library: HitSource,
    options: ShowOptions = DEFAULT_OPTIONS,
    *,
    group: bool = False,
    words: str = "",
    empty_message: str = NO_HITS,
) -> None:
    """Write hits to stdout and notes on them to stderr; exit with 1 if nothing is written.

    As paths, hits of servers are left out: a script would open other files. A table marks these words of the
    query in the texts.
    """
    output_format = options.output_format
    writers: dict[str, Callable[[list[Hit]], str]] = {
        "json": partial(formats.as_json, group=group),
        "nl": partial(formats.as_json_lines, group=group),
        "csv": partial(formats.as_csv, group=group),
        "paths": formats.as_paths,
        "null": partial(formats.as_paths, end="\0"),
    }
    is_table = output_format is None and is_terminal(sys.stdout)
    are_paths = output_format in ("paths", "null")
    shown = [hit for hit in hits if not (are_paths and is_on_server(hit))]
    if options.preview and is_table:
        from retrieval.cli.hits.preview import print_previews

        print_previews(hits, [library.thumbnail(hit) for hit in hits])
    elif output_format is None and any(hit.why or hit.labels for hit in hits):
        write(formats.as_explanations(hits))
    elif is_table:
        from retrieval.cli.hits.table import print_table

        print_table(hits, [library.text(hit) or "" for hit in hits], words)
    else:
        write(writers.get(output_format or "", partial(formats.as_tsv, group=group))(shown))
    note(library.damage)
    if library.is_outdated:
        note(str(ModelOutdated()))
    note(hits.note if isinstance(hits, Hits) else None)
    _note_absent_files(hits, are_paths)
    if not hits:
        note(empty_message)
    if not shown:
        raise SystemExit(1)
    if options.open_rank is not None:
        open_hit(hits, options.open_rank)


def is_on_server(hit: Hit) -> bool:
    """Return True if the path of a hit is one on a server, which may be that of another file here."""
    return is_server_address(hit.library or "")


def _note_absent_files(hits: list[Hit], are_paths: bool) -> None:
    """Write notes on hits whose files are not on this machine, or not now."""
    servers = dict.fromkeys(str(hit.library) for hit in hits if is_on_server(hit))
    if servers and are_paths:
        count = pluralize(sum(map(is_on_server, hits)), "hit")
        note(f"{count} of {printable(', '.join(servers))} left out: --json shows the paths there.")
    if any(not (hit.offline or is_on_server(hit) or path_exists(hit.path)) for hit in hits):
        note("Some of these files no longer exist. Run `clew index` to update the library.")
    if any(hit.offline for hit in hits):
        note("Some of these files are offline: their folder is not available now.")


def open_hit(hits: list[Hit], rank: int) -> None:
    """Open the file of a hit, by its rank from 1, in the program that the system has for it."""
    if rank > len(hits):
        raise click.UsageError(f"There is no hit {rank}: {pluralize(len(hits), 'hit')} found.")
    hit = hits[rank - 1]
    path = hit.path
    if is_on_server(hit) or not path.is_file():  # offline, gone, or in an archive
        raise click.ClickException(f"Cannot open {printable(str(path))}: it is not a file on this machine.")
    if click.launch(str(path)):
        raise click.ClickException(f"No program opened {printable(str(path))}.")
