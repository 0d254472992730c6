"""Doors for those who read: `clew search`, `similar`, `status`, `models`."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retrieval import formats
from retrieval.archives import is_there
from retrieval.options import answer_options, library_option
from retrieval.pages import describe, describe_failures, describe_models
from retrieval.records import CONFIDENT, Hit

if TYPE_CHECKING:
    from retrieval.library import Library


@click.command("search")
@click.argument("words", nargs=-1)
@click.option("--image", type=click.Path(path_type=Path), help="Search by this picture, or add it to WORDS.")
@click.option("--allow-url", is_flag=True, help="Fetch pictures that the query names by http or https.")
@click.option("--keyword-only", "by", flag_value="keyword", help="Find only what has the words.")
@click.option("--meaning-only", "by", flag_value="meaning", help="Find by meaning, whatever the words.")
@click.option("--why", is_flag=True, help="Say of each hit what brought it.")
@click.option(
    "--like", multiple=True, metavar="PICTURE", help="More like this: #ID or a file; may be given again."
)
@click.option(
    "--unlike", multiple=True, metavar="PICTURE", help="With --like: less like this; may be given again."
)
@click.option("--all", "every", is_flag=True, help="Show the nearest even where nothing matches well.")
@answer_options
def search_command(
    words: tuple[str, ...],
    image: Path | None,
    every: bool,
    by: Any,
    why: bool,
    library: Path,
    shape: str | None,
    **narrow: Any,
) -> None:
    """Find what fits WORDS, or a picture, best first.

    \b
    2:golden retriever + ./pool.jpg - fruit   add up, weigh, take away
    beach -people "red bicycle"               a sign before one word; a phrase
    #1234 + at night                          found before (its id: --json)
    @rex + beach                              taught before, by `clew teach`
    beach not:people                          drop what surely shows people
    sunset kind:image under:Trips             filters, as the options below

    "-" shifts the meaning away from a thing; "not:" drops the hits that fit it well. Several kinds of media
    come in one list, and what has the very words in its text or its name is lifted. The match says how many
    of several hundred background queries find nothing so good in this library. Exit code 1 when nothing
    matches well.
    """
    from retrieval.library import Library
    from retrieval.query import parse
    from retrieval.search import matches_well

    query = parse(" ".join(words))
    with Library.open(library) as opened:
        hits = opened.search(query, image=image, by=by or "both", why=why, **narrow)
        if hits and query.in_words and not image and not every and not matches_well(hits):
            said = f"Nothing here matches well: {best_of(hits)}. --all shows the nearest anyway."
            show([], shape, opened, empty=said)
        show(hits, shape, opened, narrow["group"])


@click.command("similar")
@click.argument("picture", type=click.Path(path_type=Path))
@answer_options
def similar_command(
    picture: Path, library: Path, shape: str | None, kind: tuple[str, ...], **narrow: Any
) -> None:
    """Find pictures like PICTURE, which itself is left out; it need not be in the library."""
    from retrieval.library import Library

    with Library.open(library) as opened:
        show(opened.similar(picture, kind=kind or "image", **narrow), shape, opened, narrow["group"])


@click.command("status")
@click.option("--errors", is_flag=True, help="List the files that could not be read, and why.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@library_option
def status_command(library: Path, errors: bool, as_json: bool) -> None:
    """Show what the library holds and how it was made."""
    from retrieval.library import Library

    with Library.open(library) as opened:
        if errors:
            write(describe_failures(opened.failures(), as_json))
        else:
            status = opened.status()
            write(formats.dump(status) + "\n" if as_json else describe(status))
            note(opened.damage)


@click.command("models")
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def models_command(names: tuple[str, ...], as_json: bool) -> None:
    """List the models there are, or those with all of NAMES in theirs.

    The built-in one, what is on this machine, and what open_clip offers. MB is the size of the weights in
    float32; the hub's may be half.
    """
    from retrieval.embedders import cards

    found = [card for card in cards() if all(name.lower() in card.name.lower() for name in names)]
    write(formats.dump(found) + "\n" if as_json else describe_models(found))
    if not found:
        note(f"No model has {' and '.join(names)} in its name.")
        raise SystemExit(1)


def best_of(hits: list[Hit]) -> str:
    """Say how good the best match is."""
    best = max(hit.confidence or 0 for hit in hits)
    return f"the best has a match of {best:.0%}, and {CONFIDENT:.0%} is asked"


def show(
    hits: list[Hit],
    shape: str | None,
    library: "Library",
    group: bool = False,
    empty: str = "Nothing found.",
) -> None:
    """Write hits in the shape asked for, by default a table at a terminal and lines in a pipe."""
    shapes: dict[str, Callable[[list[Hit]], str]] = {
        "json": partial(formats.as_json, group=group),
        "nl": partial(formats.as_json_lines, group=group),
        "csv": partial(formats.as_csv, group=group),
        "paths": formats.as_paths,
        "null": partial(formats.as_paths, end="\0"),
    }
    if shape is None and any(hit.why for hit in hits):
        write(formats.as_reasons(hits, shorten))
    elif shape is None and sys.stdout.isatty():
        show_table(hits)
    else:
        write(shapes.get(shape or "", partial(formats.as_lines, group=group))(hits))
    note(library.damage)
    if any(not hit.offline and not is_there(hit.path) for hit in hits):
        note("Some of these have gone since they were indexed; `clew index` brings the library up to date.")
    if any(hit.offline for hit in hits):
        note("Some of these are on a folder that is not there now (offline).")
    if not hits:
        note(empty)
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
        " ".join(filter(None, (shorten(formats.place(hit)), "(offline)" * hit.offline, formats.others(hit))))
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
        text = [Text(formats.printable(hit.text or ""))] if texts else []
        match = "" if hit.confidence is None else f"{100 * hit.confidence:.0f} %"
        style = "dim" if hit.match == "weak" else None
        table.add_row(str(rank), match, f"{hit.score:.3f}", *kind, Text(place), *text, style=style)
    if hits:
        console.print(table)


def shorten(path: str) -> str:
    """Return a path from here, if it is below here."""
    here = str(Path.cwd()) + "/"
    return path.removeprefix(here)


def write(text: str) -> None:
    """Write results to stdout, paths as the bytes they are."""
    click.echo(os.fsencode(text), nl=False)


def note(text: str | None) -> None:
    """Write a note to stderr."""
    if text:
        click.echo(text, err=True)
