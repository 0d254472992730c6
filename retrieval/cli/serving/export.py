"""clew export: write the vectors of a library for other programs."""

from pathlib import Path
from typing import cast

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import INTERRUPTED, interruptible
from retrieval.cli.options import format_choices, library_option
from retrieval.formatting import pluralize, printable, to_json
from retrieval.types import KINDS, Kind

FORMATS = ("npy", "parquet", "clip-retrieval")


@click.command("export", cls=ClewCommand)
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    metavar="NAME",
    help=f"Write this format instead of that of the suffix: {format_choices(FORMATS)}.",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    metavar="KIND",
    help=f"Write only this kind: {format_choices(KINDS)}. Repeatable.",
)
@click.option("--space", metavar="NAME", help="Write the vectors of this space, not of the active one.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
@library_option
@interruptible(INTERRUPTED)
def export_command(
    out: Path,
    form: str | None,
    kinds: tuple[str, ...],
    space: str | None,
    force: bool,
    as_json: bool,
    library: Path,
) -> None:
    """Write the vectors of the library to OUT.

    Each has its id, path and kind.

    \b
    clew export vectors.parquet              one table; needs the extra [parquet]
    clew export vectors.npy                  an array, its rows in vectors.jsonl
    clew export embeddings --format clip-retrieval

    The last one is a folder of images as clip-retrieval has it: img_emb/*.npy and metadata/*.parquet.
    """
    from retrieval.export.write import export_vectors

    chosen = cast(tuple[Kind, ...], kinds or KINDS)
    result = export_vectors(library, out, form=form, kinds=chosen, space=space, force=force)
    if as_json:
        write(to_json(result) + "\n")
        return
    for path in result.paths:
        write(f"{printable(str(path))}\n")
    note(f"{pluralize(result.count, 'vector')} of {result.space}.")
