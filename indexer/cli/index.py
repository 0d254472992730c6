"""clew index: index folders or update a library."""

import gc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.cli.models import model_options
from indexer.cli.params import ByteSize
from indexer.cli.progress import ProgressBar, quiet_decoders
from indexer.cli.watch import run_watch
from indexer.operations.options import IndexOptions
from indexer.watch.options import WatchOptions
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.cli.command import GroupedCommand, option_group
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import collect_options, library_option, milvus_token
from retrieval.formatting import to_json

if TYPE_CHECKING:
    from indexer.operations.report import Report


what_to_index = option_group("What to index")
what_to_read = option_group("What to read")
model_option = option_group("Model")
run_option = option_group("Run")
output_option = option_group("Output")


def parse_patterns(
    ctx: click.Context, option: click.Parameter, patterns: tuple[str, ...]
) -> list[str] | None:
    """Return the patterns, or None if there was no option."""
    return list(patterns) if patterns else None


@click.command("index", cls=GroupedCommand)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@what_to_index(
    "--exclude",
    multiple=True,
    callback=parse_patterns,
    metavar="PATTERN",
    help="Skip these names or paths, such as *.png or ~/Pictures/Private. Repeatable. Added to those "
    'saved with the folder; "" removes these.',
)
@what_to_index(
    "--hidden/--no-hidden", default=None, help="Index hidden files and folders too. Saved with the folder."
)
@what_to_index(
    "--archives/--no-archives",
    default=None,
    help="Index the files in .zip and .tar archives too. Saved with the folder.",
)
@what_to_index("--confirm-gone", is_flag=True, help="Forget missing files even if many are missing at once.")
@what_to_read(
    "--ocr/--no-ocr",
    default=None,
    help="Recognize text in images (OCR), after everything else. Saved in the library.",
)
@what_to_read(
    "--speech-model",
    metavar="FOLDER|NAME",
    help="Transcribe speech in audio and video with this faster-whisper model: a folder, or a name to "
    "download, such as tiny (75 MB), small (484 MB) or large-v3 (3.1 GB). Saved in the library; "
    '"" turns it off.',
)
@what_to_read(
    "--sound-model",
    metavar="FOLDER|NAME",
    help="Label sounds in audio and video, such as a barking dog, with this CLAP model: a folder, or a name "
    'to download, such as laion/clap-htsat-unfused (615 MB). Saved in the library; "" turns it off.',
)
@what_to_read(
    "--tiles/--no-tiles",
    default=None,
    help="Embed tiles of each image too, to find small objects. Saved in the library.",
)
@what_to_read(
    "--thumbnails",
    "thumbnails_max_bytes",
    type=ByteSize(),
    metavar="SIZE",
    show_default="2GB",
    help='Limit the disk space of thumbnails: 500MB, or "off" for none. Saved in the library.',
)
@model_option(
    "--model",
    metavar="NAME",
    show_default="auto: the recommended model if available, else builtin",
    help="Use this model for a new library.",
)
@model_options
@model_option(
    "--index",
    "index_method",
    type=click.Choice(["auto", "flat", "hnsw", "ivf"]),
    metavar="METHOD",
    show_default="auto: by the number of vectors",
    help="Build this index: auto, flat, hnsw or ivf. Saved in the library.",
)
@model_option(
    "--vectors",
    metavar="URL|local",
    help="Search on the Milvus server at this URL, and publish the vectors to it (see `clew publish`). "
    'Saved in the library; "local" returns to the index files.',
)
@run_option("--watch", is_flag=True, help="Follow changes until Ctrl-C, as `clew watch` does.")
@run_option("--retry", is_flag=True, help="Retry files that failed before, or were read in part.")
@run_option(
    "--again",
    is_flag=True,
    help="Read the files in FOLDERS again, also those whose size and time are the same. Only other content "
    "is embedded.",
)
@output_option("--quiet", "-q", is_flag=True, help="Write errors only: no progress, notes or summary.")
@output_option("--json", "as_json", is_flag=True, help="Write the counts as JSON.")
@library_option
@collect_options(IndexOptions)
@interruptible()
def index_command(
    folders: tuple[Path, ...],
    library: Path,
    model: str | None,
    watch: bool,
    quiet: bool,
    as_json: bool,
    options: IndexOptions,
) -> None:
    """Index FOLDERS, or update all indexed folders.

    Unchanged files are skipped and moved files are recognized by content. Files that cannot be read are
    listed by `clew status --errors`. Ctrl-C is safe: the next run resumes.
    """
    if not folders and not (library / CATALOG_FILE).exists():
        raise click.UsageError("Give a folder to index, as in: clew index ~/Pictures")
    # Imports and the scan allocate many long-lived objects; collecting them only costs time.
    gc.set_threshold(100_000)
    options = replace(options, milvus_token=milvus_token())
    from indexer.operations.index import update_library

    def tell(message: str) -> None:
        if not quiet:
            note(message)

    def show(report: "Report") -> None:
        if as_json or not quiet:
            write(summary_json(report) if as_json else f"{report}\n")
        for line in report.notes:
            tell(line)

    if watch:
        run_watch(
            folders,
            as_json,
            library=library,
            model=model,
            options=options,
            watch_options=WatchOptions(on_initial_scan=show),
        )
        return
    with quiet_decoders(), ProgressBar(quiet=quiet) as bar:
        report = update_library(
            folders, library=library, model=model, options=options, progress=bar.advance, notify=tell
        )
    show(report)
    if report.interrupted:
        raise KeyboardInterrupt("Interrupted. Indexed files are kept; `clew index` resumes.")


def summary_json(report: "Report") -> str:
    """Return the counts of a run as a JSON object."""
    keys = ("added", "updated", "moved", "offline", "gone", "unchanged", "failed", "segments", "seconds")
    return to_json({key: getattr(report, key) for key in keys}) + "\n"
