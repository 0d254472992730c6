"""clew import: import shards, or adopt the vectors of rclip or clip-retrieval."""

from dataclasses import fields
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from indexer.cli.models import model_options
from indexer.cli.progress import ProgressBar, quiet_decoders
from indexer.models.options import ModelOptions
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import collect_options, library_option, milvus_token
from retrieval.errors import ClewError
from retrieval.formatting import pluralize, printable, to_json

if TYPE_CHECKING:
    from indexer.imports.base import Imported

MAX_NAMED_REFUSALS = 10


@click.command("import", cls=ClewCommand)
@click.argument("source", metavar="PATH", type=click.Path(path_type=Path))
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="NAME",
    show_default="the model of rclip, or the one that `clew export` names",
    help="Take the vectors as those of this model, named as in `clew prepare`.",
)
@model_options
@click.option(
    "--json", "as_json", is_flag=True, help="Write the counts, and the files not imported, as JSON."
)
@library_option
@collect_options(ModelOptions)
@interruptible()
def import_command(
    source: Path,
    folders: tuple[Path, ...],
    model: str | None,
    as_json: bool,
    library: Path,
    options: ModelOptions,
) -> None:
    """Import shards, or vectors of rclip or clip-retrieval.

    \b
    clew import shards
    clew import ~/.local/share/rclip
    clew import embeddings --model ViT-B-32-quickgelu/openai

    PATH is a folder or URL of shards of `clew embed`; the database of rclip or its folder, which is
    ~/Library/Application Support/rclip on macOS; or a folder that clip-retrieval or `clew export` wrote, with
    the extra [parquet]. It is only read.

    Shards bring all their files with thumbnails, except for local ones that have changed since. Nothing is
    embedded, neither now nor by the next `clew index`. Files of URLs are found, but not opened.

    Of rclip and clip-retrieval, relative paths are looked for in FOLDERS and in the working directory.
    Only images that exist unchanged are imported, from FOLDERS if given, else from the folders that contain
    them, which become folders of the library. They are read for thumbnails and metadata, but not embedded:
    a rotated photo keeps the vector of its unrotated pixels. `clew index` then adds all other files there.

    The model is needed, for words too; a few images are embedded to check it. If the library has another
    model, `clew switch` activates the imported vectors. Ctrl-C is safe: the same command resumes.
    """
    from indexer.operations.import_vectors import import_vectors

    with quiet_decoders(), ProgressBar() as bar:
        result = import_vectors(
            source,
            folders,
            library=library,
            model=model,
            options=options,
            milvus_token=milvus_token(),
            progress=bar.advance,
            notify=note,
        )
    write(imported_json(result) if as_json else describe_imported(result))
    for failure in result.refused[:MAX_NAMED_REFUSALS]:
        note(printable(f"{failure.path}: {failure.reason}."))
    if len(result.refused) > MAX_NAMED_REFUSALS:
        note(f"{len(result.refused) - MAX_NAMED_REFUSALS:,} more: --json names all.")
    for failure in result.damaged:
        note(printable(f"{failure.reason}. Delete it and repeat the `clew embed` command."))
    for line in result.notes:
        note(line)
    if result.interrupted:
        raise KeyboardInterrupt("Interrupted. Imported files are kept; the same command resumes.")
    if result.damaged:
        raise ClewError(
            f"{pluralize(len(result.damaged), 'damaged shard')} left out. The others are imported."
        )


def describe_imported(result: "Imported") -> str:
    """Return the counts of an import, and what to do next."""
    of_shards = result.program == "clew embed"
    images = pluralize(result.adopted, "file" if of_shards else "image")
    lines = [f"{images} imported from {result.program} as {result.space} in {result.seconds:.1f} s"]
    known = "they were in the library" if of_shards else "they had a vector of this model"
    lines += [f"  {result.known:,} known: {known}"] * bool(result.known)
    for paths, cause in (
        (result.changed, "changed since their vector was made (`clew index` embeds them)"),
        (result.missing, "missing (name the folder of the images, if they moved)"),
        (result.outside, "outside of the folders"),
    ):
        lines += [printable(f"  {len(paths):,} {cause}: {path}") for path in paths[:1]]
    if result.failed:
        failure = result.failed[0]
        lines.append(
            printable(
                f"  {len(result.failed):,} failed (`clew status --errors`): {failure.path}: {failure.reason}"
            )
        )
    if result.refused:
        lines.append(f"  {len(result.refused):,} refused: damaged vector (`clew index` embeds them)")
    if result.unread:
        lines.append(f"  {result.unread:,} not read: excluded, hidden, or in `clew status --errors`")
    lines += [printable(f"  folder: {folder}") for folder in result.folders]
    if not result.active and not result.interrupted:
        lines.append(
            f"`clew switch {quote(result.space)}` completes these vectors and uses them for searches."
        )
    elif not result.interrupted:
        lines.append("`clew index` adds the other files in these folders.")
    return "\n".join(lines) + "\n"


def imported_json(result: "Imported") -> str:
    """Return the counts of an import as one JSON object, with the paths of files that were left out."""
    return to_json({field.name: getattr(result, field.name) for field in fields(result)}) + "\n"
