"""The door to labels: `clew tag`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from retrieval.cli.console import note, relative_path, write
from retrieval.cli.options import library_option
from retrieval.formatting import one_line, to_json
from retrieval.types import KINDS

if TYPE_CHECKING:
    from indexer.tag.labels import LabelTags


@click.command("tag")
@click.argument("labels", nargs=-1)
@click.option(
    "--one-of",
    is_flag=True,
    help="Exactly one of LABELS fits: each picture gets the likeliest.",
)
@click.option(
    "--at-least",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Tag from this confidence on.  [default: 0.75; with --one-of 0]",
)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    multiple=True,
    help="Tag this kind; may be given again.  [default: image, video, page]",
)
@click.option("--under", metavar="FOLDER", multiple=True, help="Tag only in this folder; may be given again.")
@click.option(
    "--weight",
    type=click.FloatRange(0, 1),
    help="With --one-of: what a picture counts beside its captions.  [default: 0.3]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be tagged; write nothing.")
@click.option("--remove", is_flag=True, help="Take LABELS, and the tags they gave, out of the library.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@library_option
def tag_command(labels: tuple[str, ...], library: Path, remove: bool, as_json: bool, **options: Any) -> None:
    """Tag pictures with LABELS, to be found with --tag; without LABELS, list those there are.

    \b
    clew tag sunset beach "screenshot of a chat"   what a search is sure of
    clew tag --one-of invoice letter photo         each picture gets one of them
    clew sunset --tag beach                        filters a search

    LABELS are plain words; no training is needed. They are remembered: `clew index` tags what is new, `clew
    switch` tags all with the new model. A label that is there is tagged anew. Its line says how many have
    it, and shows the three of them that it fits best.
    """
    given = [name for name, value in options.items() if value not in (None, ()) and value is not False]
    if given and (remove or not labels):
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for labels to tag with.")
    if remove:
        _remove(labels, library)
    elif labels:
        _tag(labels, library, as_json, **options)
    else:
        _list(library, as_json)


def _tag(labels: tuple[str, ...], library: Path, as_json: bool, **options: Any) -> None:
    from indexer.tag.labels import tag_library

    done = tag_library(labels, library=library, notify=note, **options)
    write(to_json(done.labels) + "\n" if as_json else "".join(map(_format_label, done.labels)))
    if done.dry_run:
        note("Nothing was written: --dry-run.")


def _format_label(label: "LabelTags") -> str:
    """Return name, count and the best, tabs between."""
    best = [f"{relative_path(str(one.path))} ({one.confidence:.0%})" for one in label.best]
    return "\t".join(map(one_line, [label.name, f"{label.count:,}", ", ".join(best)])).rstrip("\t") + "\n"


def _remove(labels: tuple[str, ...], library: Path) -> None:
    if not labels:
        raise click.UsageError("Give the labels to remove, as in: clew tag --remove sunset")
    from indexer.tag.labels import remove_labels

    remove_labels(labels, library=library)
    write(f"{', '.join(map(one_line, labels))} removed.\n")


def _list(library: Path, as_json: bool) -> None:
    from retrieval.library import Library

    with Library.open(library) as opened:
        counts = opened.tags()
    if as_json:
        write(to_json([{"name": name, "count": count} for name, count in counts.items()]) + "\n")
    else:
        write("".join(f"{one_line(name)}\t{count:,}\n" for name, count in counts.items()))
    if not counts:
        note("There are no labels yet: clew tag sunset beach")
        raise SystemExit(1)
