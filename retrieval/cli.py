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
@click.option("--image", type=click.Path(path_type=Path), help="Search by this picture instead of words.")
@click.option("--keyword-only", "by", flag_value="keyword", help="Find only what has the words.")
@click.option("--meaning-only", "by", flag_value="meaning", help="Find by meaning, whatever the words.")
@answer_options
def search_command(
    words: tuple[str, ...], image: Path | None, library: Path, by: Any, shape: str | None, **narrow: Any
) -> None:
    """Find what fits WORDS, or a picture, best first.

    Several kinds of media come in one list, ordered by how far each hit stands out from others of its
    kind; what has the very words, in its text or its name, is lifted. A phrase in quotes of its own, as
    in '"red bicycle"', comes first. Exit code 1 when nothing is found.
    """
    from retrieval.library import Library

    with Library.open(library) as opened:
        text = " ".join(words) if words or not image else None
        hits = opened.search(text, image=image, by=by or "both", **narrow)
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


def show(hits: list[Hit], shape: str | None, library: "Library") -> None:
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
        note("Nothing found.")
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
    room = console.width - 2 * (2 + mixed + texts) - 7 - 5 * mixed  # what path and text may share
    widest = max(map(len, places), default=0)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("#", justify="right")
    table.add_column("score")
    if mixed:
        table.add_column("kind")
    table.add_column("path", overflow="fold", min_width=min(widest, room - 24 * texts))
    if texts:
        table.add_column("text", overflow="ellipsis", no_wrap=True, max_width=max(24, room - widest))
    for rank, (hit, place) in enumerate(zip(hits, places, strict=True), start=1):
        kind = [hit.kind] if mixed else []
        text = [Text(formats.printable(hit.text or ""))] if texts else []
        table.add_row(str(rank), f"{hit.score:.3f}", *kind, Text(place), *text)
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
