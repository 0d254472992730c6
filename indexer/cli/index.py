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
    "--model",
    help="Model of a new library. [default: auto, the recommended model if available, else builtin]",
)
@model_options
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Skip these names or paths, such as *.png or Private/*. Repeatable. Saved with the folder; "
    "'' removes the patterns.",
)
@click.option("--hidden/--no-hidden", default=None, help="Index hidden files too. Saved with the folder.")
@click.option(
    "--ocr/--no-ocr",
    default=None,
    help="Recognize text in images (OCR), after everything else. Saved in the library.",
)
@click.option(
    "--speech-model",
    metavar="FOLDER|NAME",
    help="Transcribe speech in audio and video with this faster-whisper model: a folder, or a name to "
    "download, such as tiny (75 MB), small (484 MB) or large-v3 (3.1 GB). Saved in the library; '' disables.",
)
@click.option(
    "--sound-model",
    metavar="FOLDER|NAME",
    help="Label sounds in audio and video, such as a barking dog, with this CLAP model: a folder, or a name "
    "to download, such as laion/clap-htsat-unfused (615 MB). Saved in the library; '' disables.",
)
@click.option(
    "--archives/--no-archives",
    default=None,
    help="Index the files in .zip and .tar archives too. Saved with the folder.",
)
@click.option(
    "--index",
    "index_method",
    type=click.Choice(["auto", "flat", "hnsw", "ivf"]),
    help="Index method. Saved in the library. [default: auto, by size]",
)
@click.option("--confirm-gone", is_flag=True, help="Forget missing files even if many are missing at once.")
@click.option(
    "--tiles/--no-tiles",
    default=None,
    help="Embed tiles of each image too, to find small objects. Saved in the library.",
)
@click.option("--retry", is_flag=True, help="Retry files that failed before.")
@click.option(
    "--thumbnails",
    "thumbnails_max_bytes",
    type=ByteSize(),
    help='Disk space for thumbnails, such as 500MB, or "off". Saved in the library. [default: 2GB]',
)
@click.option("--watch", is_flag=True, help="Keep following changes until Ctrl-C, as `clew watch` does.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@library_option
def index_command(
    folders: tuple[Path, ...],
    library: Path,
    model: str | None,
    exclude: tuple[str, ...],
    watch: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Index FOLDERS, or update all indexed folders.

    Unchanged files are skipped and moved files are recognized by content. Files that cannot be read are
    listed by `clew status --errors`. Ctrl-C is safe: the next run resumes.
    """
    from indexer.operations.index import update_library
    from indexer.operations.options import IndexOptions

    if not folders and not (library / CATALOG_FILE).exists():
        raise click.UsageError("Name a folder to index, such as: clew index ~/Pictures")
    gc.set_threshold(100_000)  # the scan allocates many long-lived objects; collecting them only costs time
    patterns = [pattern for pattern in exclude if pattern] if exclude else None
    options = IndexOptions(exclude=patterns, **fields)  # the other options of the command, by name

    def show(report: "Report") -> None:
        write(summary_json(report) if as_json else f"{report}\n")
        for line in report.notes:
            note(line)

    if watch:
        run_watch(folders, show, as_json, library=library, model=model, options=options)
        return
    with quiet_decoders(), ProgressBar() as bar:
        report = update_library(
            folders, library=library, model=model, options=options, progress=bar.advance, notify=note
        )
    show(report)
    if report.interrupted:
        note("Interrupted. Indexed files are kept; `clew index` resumes.")
        raise SystemExit(130)


def summary_json(report: "Report") -> str:
    """Return the counts of a run as a JSON object."""
    keys = ("added", "updated", "moved", "offline", "gone", "unchanged", "failed", "segments", "seconds")
    return to_json({key: getattr(report, key) for key in keys}) + "\n"
