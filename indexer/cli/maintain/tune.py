"""clew tune: tune the search effort of the indexes to a recall."""

from pathlib import Path

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import write
from retrieval.cli.options import library_option
from retrieval.cli.status import describe_index
from retrieval.formatting import to_json


@click.command("tune", cls=ClewCommand)
@click.option(
    "--recall",
    type=click.FloatRange(0.5, 1),
    help="Share of the ten best hits that a search must find, such as 0.99. More takes longer. "
    "Saved in the library.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@library_option
def tune_command(recall: float | None, as_json: bool, library: Path) -> None:
    """Measure the indexes, and choose how much each search compares.

    Searches by words and by images are measured apart, against an exact search. `clew status` shows the
    results.
    """
    from indexer.operations.tune import tune_library

    files = tune_library(library, target_recall=recall)
    if as_json:
        write(to_json(files) + "\n")
    else:
        write("".join("\n  ".join(describe_index(file)) + "\n" for file in files))
