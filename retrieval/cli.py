"""Doors for those who read: `clew search`, `similar`, `status`, `models`."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from retrieval import formats
from retrieval.machine import default_library
from retrieval.records import KINDS, Failure, Hit, Status

if TYPE_CHECKING:
    from retrieval.embedders import Card
    from retrieval.library import Library

Command = TypeVar("Command", bound=Callable[..., Any])


def library_option(command: Command) -> Command:
    """Add --library."""
    add = click.option(
        "--library",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="CLEW_LIBRARY",
        default=default_library,
        help="The library's folder. [env: CLEW_LIBRARY; default: per user]",
    )
    return add(command)


def answer_options(command: Command) -> Command:
    """Add the options that narrow, count and shape an answer."""
    for option in reversed(
        (
            click.option(
                "--kind", type=click.Choice(KINDS), multiple=True, help="Only this kind; may be given again."
            ),
            click.option(
                "--under", metavar="FOLDER", help="Only in this folder: absolute, ./here, or a name."
            ),
            click.option(
                "--after", metavar="TIME", help="Only from this time on: 2021, 2021-06, 2021-06-30."
            ),
            click.option("--before", metavar="TIME", help="Only before this time."),
            click.option(
                "-k",
                "--top-k",
                "--count",
                "count",
                default=10,
                show_default=True,
                type=click.IntRange(1),
                help="How many hits.",
            ),
            click.option("--json", "shape", flag_value="json", help="One JSON array."),
            click.option("--nl", "shape", flag_value="nl", help="One JSON object a line."),
            click.option("--csv", "shape", flag_value="csv", help="CSV with a header."),
            click.option("--paths", "shape", flag_value="paths", help="Paths only, each once."),
            click.option("-0", "shape", flag_value="null", help="Paths ended by NUL, for xargs -0."),
            library_option,
        )
    ):
        command = option(command)
    return command


@click.command("search")
@click.argument("words", nargs=-1)
@click.option("--image", type=click.Path(path_type=Path), help="Search by this picture, or add it to WORDS.")
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
    come in one list. The match says how many of several hundred background queries find nothing so good in
    this library. Exit code 1 when nothing matches well.
    """
    from retrieval.library import Library
    from retrieval.query import parse
    from retrieval.search import matches_well

    query = parse(" ".join(words))
    with Library.open(library) as opened:
        hits = opened.search(query, image=image, **narrow)
        if hits and query.in_words and not every and not matches_well(hits):
            show(
                [],
                shape,
                opened,
                f"Nothing here matches well ({best_of(hits)}). --all shows the nearest anyway.",
            )
        show(hits, shape, opened)


@click.command("similar")
@click.argument("picture", type=click.Path(path_type=Path))
@answer_options
def similar_command(
    picture: Path, library: Path, shape: str | None, kind: tuple[str, ...], **narrow: Any
) -> None:
    """Find pictures like PICTURE, which itself is left out; it need not be in the library."""
    from retrieval.library import Library

    with Library.open(library) as opened:
        show(opened.similar(picture, kind=kind or "image", **narrow), shape, opened)


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
    return f"{1 - best:.0%} of background queries do better"


def show(hits: list[Hit], shape: str | None, library: "Library", empty: str = "Nothing found.") -> None:
    """Write hits in the shape asked for, by default a table at a terminal and lines in a pipe."""
    shapes: dict[str, Callable[[list[Hit]], str]] = {
        "json": formats.as_json,
        "nl": formats.as_json_lines,
        "csv": formats.as_csv,
        "paths": formats.as_paths,
        "null": partial(formats.as_paths, end="\0"),
    }
    if shape is None and sys.stdout.isatty():
        show_table(hits)
    else:
        write(shapes.get(shape or "", formats.as_lines)(hits))
    note(library.damage)
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
    places = [shorten(formats.place(hit)) + " (offline)" * hit.offline for hit in hits]
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


def describe(status: Status) -> str:
    """Return the status as a page of text."""
    space = status.space
    held = formats.count_kinds(status.segments) or "nothing yet"
    lines = [f"Library  {status.folder} ({formats.size(status.size)})", f"Holds    {held}"]
    if status.kept:
        lines.append(
            f"         {formats.some(status.kept, 'segment')} kept of files that are gone "
            "(`clew forget --purge`)"
        )
    for root in status.roots:
        states = [f"{root.present:,} files"] * bool(root.present or not root.offline)
        states += [f"{root.offline:,} offline"] * bool(root.offline)
        states += [f"{root.failed:,} could not be read"] * bool(root.failed)
        away = "; not there now" if root.state == "offline" else ""
        lines.append(f"Folder   {formats.printable(str(root.path))}: {', '.join(states)}{away}")
        lines.append(f"         last scanned {root.scanned or 'never'}")
    if space is not None:
        lines.append(f"Model    {space.name}, {space.dim} dimensions, {space.fingerprint[:12]}")
        if status.precision:
            lines.append(f"         {status.precision}")
        if not space.whole:
            lines.append("         some segments wait for their files to be there (`clew index`)")
        lines += [
            f"Index    {file.kind}: {file.method}, {file.count:,} vectors, {formats.size(file.size)}, "
            f"recall@10 {file.recall:.3f} against exact when built"
            for file in space.indexes
        ]
        if not space.indexes:
            lines.append("Index    none yet; every vector is compared")
        if status.tail:
            lines.append(f"         {formats.some(status.tail, 'newer vector')} compared one by one")
    lines += [
        f"Beside   {name}: {formats.some(count, 'vector')} (`clew forget --space` deletes them)"
        for name, count in status.spaces.items()
        if space is None or name != space.name
    ]
    if any(root.failed for root in status.roots):
        lines.append("`clew status --errors` lists the files that could not be read.")
    return "\n".join(lines) + "\n"


def describe_models(cards: "list[Card]") -> str:
    """Return models as a table, and what was measured of those that were."""
    rows = [("model", "dims", "pixels", "MB", "licence", "languages", "state")]
    for card in cards:
        size = "-" if card.megabytes is None else f"{card.megabytes:,.0f}"
        numbers = (str(card.dim), str(card.side), size)
        rows.append((card.name, *numbers, card.licence or "unknown", card.languages, card.state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:{'>' if 0 < n < 4 else '<'}{width}}" for n, (cell, width) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    for card in cards:
        if card.text_to_image and card.image_to_text:
            lines += [
                f"\n{card.name}, R@1/5/10 on Flickr8k's test photos, in per cent: text to image "
                f"{_recalls(card.text_to_image)},\nimage to text {_recalls(card.image_to_text)}.",
                click.wrap_text(card.limits or "", 78),
            ]
    return "\n".join(lines) + "\n" if cards else ""


def describe_failures(failures: list[Failure], as_json: bool) -> str:
    """Return path and reason of each, tabs between."""
    if as_json:
        return formats.dump(failures) + "\n"
    return "".join(f"{formats.one_line(str(f.path))}\t{formats.one_line(f.reason)}\n" for f in failures)


def _recalls(measured: dict[str, float]) -> str:
    return " / ".join(f"{measured[f'recall@{k}']:.1f}" for k in (1, 5, 10))


def write(text: str) -> None:
    """Write results to stdout, paths as the bytes they are."""
    click.echo(os.fsencode(text), nl=False)


def note(text: str | None) -> None:
    """Write a note to stderr."""
    if text:
        click.echo(text, err=True)
