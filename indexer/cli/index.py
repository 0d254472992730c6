"""clew index: index folders or update a library."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.models import model_options
from indexer.cli.params import ByteSize
from indexer.cli.progress import ProgressBar, quiet_decoders
from indexer.cli.watch import run_watch
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.cli.console import note, write
from retrieval.cli.options import library_option
from retrieval.formatting import to_json

if TYPE_CHECKING:
    from indexer.operations.report import Report


@click.command("index")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--model", help="The model of a new library. [default: auto: the recommended one, else builtin]"
)
@model_options
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out these names or paths, as *.png or Private/*; remembered, '' forgets.",
)
@click.option("--hidden/--no-hidden", default=None, help="Read hidden files and folders too; remembered.")
@click.option(
    "--ocr/--no-ocr", default=None, help="Read the text in pictures too, after all else; remembered."
)
@click.option(
    "--speech-model",
    metavar="FOLDER|NAME",
    help="Write down what is said in sounds and videos with this model of faster-whisper: its folder, or a "
    "name to fetch, as tiny (75 MB), small (484 MB), large-v3 (3.1 GB); remembered, '' forgets.",
)
@click.option(
    "--sound-model",
    metavar="FOLDER|NAME",
    help="Name what sounds in recordings and videos, as a dog barking, with this CLAP model: its folder, or "
    "a name to fetch, as laion/clap-htsat-unfused (615 MB); remembered, '' forgets.",
)
@click.option(
    "--archives/--no-archives",
    default=None,
    help="Read what is in .zip and .tar files too, packed or not; remembered.",
)
@click.option(
    "--index",
    "kind",
    type=click.Choice(["auto", "flat", "hnsw", "ivf"]),
    help="The kind of index; remembered. [default: auto, by size]",
)
@click.option(
    "--confirm-gone",
    is_flag=True,
    help="Forget missing files even where so many are missing that a drive seems away.",
)
@click.option(
    "--tiles/--no-tiles",
    default=None,
    help="Embed parts of each picture too, so that small things in it are found; remembered.",
)
@click.option("--retry", is_flag=True, help="Read again what could not be read before.")
@click.option(
    "--thumbnails",
    type=ByteSize(),
    help="How much room small pictures of what was read may take, as 500MB, or off; remembered. "
    "[default: 2GB]",
)
@click.option("--watch", is_flag=True, help="Go on with what changes, until Ctrl-C; see `clew watch`.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@library_option
def index_command(
    folders: tuple[Path, ...],
    library: Path,
    model: str | None,
    exclude: tuple[str, ...],
    kind: Any,
    watch: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Index FOLDERS, or bring all indexed folders up to date.

    Unchanged files cost a look, moved ones are recognised, files that cannot be read are listed by
    `clew status --errors`. Ctrl-C is safe: the next run goes on.
    """
    from indexer.operations.index import update_library

    if not folders and not (library / CATALOG_FILE).exists():
        raise click.UsageError("Give the folder to index, as in: clew index ~/Pictures")
    gc.set_threshold(100_000)  # a walk makes many small things that all stay; looking them over is in vain
    patterns = None if not exclude else [pattern for pattern in exclude if pattern]
    options |= {"library": library, "model": model, "exclude": patterns, "index": kind}

    def show(report: "Report") -> None:
        write(summary_json(report) if as_json else f"{report}\n")
        for line in report.notes:
            note(line)

    if watch:
        run_watch(folders, show, as_json, **options)
        return
    with quiet_decoders(), ProgressBar() as bar:
        report = update_library(folders, progress=bar.advance, notify=note, **options)
    show(report)
    if report.interrupted:
        note("Stopped; what is done is kept, and `clew index` goes on from there.")
        raise SystemExit(130)


def summary_json(report: "Report") -> str:
    """Return what a run did as one JSON object."""
    keys = ("added", "updated", "moved", "offline", "gone", "unchanged", "failed", "segments", "seconds")
    return to_json({key: getattr(report, key) for key in keys}) + "\n"
