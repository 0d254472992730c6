"""clew tag: tag images with labels."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.tag.options import TagOptions
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, relative_path, terminal_width, wrap, write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import collect_options, format_choices, library_option
from retrieval.formatting import format_share, one_line, to_json
from retrieval.types import KINDS

if TYPE_CHECKING:
    from indexer.tag.labels import LabelTags


@click.command("tag", cls=ClewCommand)
@click.argument("labels", nargs=-1)
@click.option("--one-of", is_flag=True, help="Give each image exactly one of LABELS: the likeliest.")
@click.option(
    "--at-least",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    show_default="0.75, or 0 with --one-of",
    help="Tag only segments with at least this confidence.",
)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    multiple=True,
    metavar="KIND",
    show_default="image, video, page",
    help=f"Tag this kind: {format_choices(KINDS)}. Repeatable.",
)
@click.option("--under", metavar="FOLDER", multiple=True, help="Tag only files in this folder. Repeatable.")
@click.option(
    "--weight",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    show_default="0.3",
    help="With --one-of: weight images by this share against their captions.",
)
@click.option("--dry-run", is_flag=True, help="Show the result without saving it.")
@click.option("--remove", is_flag=True, help="Remove LABELS and their tags from the library.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@library_option
@collect_options(TagOptions)
@interruptible()
def tag_command(
    labels: tuple[str, ...],
    library: Path,
    remove: bool,
    dry_run: bool,
    as_json: bool,
    options: TagOptions,
) -> None:
    """Tag images with LABELS, or list the labels.

    \b
    clew tag sunset beach "screenshot of a chat"   tag confident matches
    clew tag --one-of invoice letter photo         classify each image
    clew sunset --tag beach                        filter a search

    LABELS are plain words; no training is needed. They are saved in the library: `clew index` tags new
    files, and `clew switch` tags all files with the new model. Repeating a label tags again. Each line shows
    a label, its number of images and its three best matches.
    """
    values = {**asdict(options), "dry_run": dry_run}
    used_options = [name for name, value in values.items() if value not in (None, ()) and value is not False]
    if used_options and (remove or not labels):
        raise click.UsageError(f"--{used_options[0].replace('_', '-')} requires LABELS to tag with.")
    if remove:
        _remove(labels, library, as_json)
    elif labels:
        _tag(labels, library, options, dry_run, as_json)
    else:
        _list(library, as_json)


def _tag(labels: Sequence[str], library: Path, options: TagOptions, dry_run: bool, as_json: bool) -> None:
    from indexer.tag.labels import tag_library

    result = tag_library(labels, library=library, options=options, dry_run=dry_run, notify=note)
    write(to_json(result.labels) + "\n" if as_json else "".join(map(_format_label, result.labels)))
    if result.dry_run:
        note("Nothing was saved (--dry-run).")


def _format_label(label: "LabelTags") -> str:
    """Return name, count and best matches, separated by tabs, wrapped in a terminal."""
    best = [f"{relative_path(match.path)} ({format_share(match.confidence)})" for match in label.best]
    line = "\t".join(map(one_line, [label.name, f"{label.count:,}", ", ".join(best)])).rstrip("\t")
    return wrap(line, terminal_width(sys.stdout), indent=4) + "\n"


def _remove(labels: tuple[str, ...], library: Path, as_json: bool) -> None:
    if not labels:
        raise click.UsageError("Give the labels to remove, as in: clew tag --remove sunset")
    from indexer.tag.labels import remove_labels

    remove_labels(labels, library=library)
    write(
        to_json({"removed": labels}) + "\n" if as_json else f"{', '.join(map(one_line, labels))} removed.\n"
    )


def _list(library: Path, as_json: bool) -> None:
    from retrieval.library import Library

    with Library.open(library) as opened:
        counts = opened.tags()
    if as_json:
        write(to_json([{"name": name, "count": count} for name, count in counts.items()]) + "\n")
    else:
        write("".join(f"{one_line(name)}\t{count:,}\n" for name, count in counts.items()))
    if not counts:
        note("No labels yet. Add some, as in: clew tag sunset beach")
        raise SystemExit(1)
