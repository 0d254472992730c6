"""clew embed: embed files into Parquet shards, on one machine or on a Ray cluster."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from indexer.cli.models import model_options
from indexer.cli.progress import ProgressBar, quiet_decoders
from indexer.distributed.options import FILES_PER_SHARD, ShardOptions
from indexer.models.options import ModelOptions
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import Count, collect_options
from retrieval.formatting import pluralize, printable, to_json

if TYPE_CHECKING:
    from indexer.distributed.options import EmbeddedShards


@click.command("embed", cls=ClewCommand)
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "--out", required=True, metavar="DIR|URL", help="Write the shards here. All workers must reach it."
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help='Run on the Ray cluster at this address, such as 10.0.0.1:6379, or on "local", one for this run.',
)
@click.option(
    "--workers",
    type=Count(min=1),
    metavar="N",
    show_default="this process; with --ray, one for each node",
    help="Use this many worker processes. An item that ends its process is done again.",
)
@click.option(
    "--files-per-shard",
    type=Count(min=1),
    metavar="N",
    show_default=f"{FILES_PER_SHARD}",
    help="Embed this many files into a shard. An archive is a shard of its own.",
)
@click.option("--thumbnails/--no-thumbnails", default=True, show_default=True, help="Include thumbnails.")
@click.option(
    "--model",
    metavar="NAME",
    show_default="auto: the recommended model if available, else builtin",
    help="Embed with this model.",
)
@model_options
@click.option("--json", "as_json", is_flag=True, help="Write the counts as JSON.")
@collect_options(ModelOptions, "model_options")
@collect_options(ShardOptions)
@interruptible()
def embed_command(
    sources: tuple[str, ...],
    out: str,
    model: str | None,
    as_json: bool,
    options: ShardOptions,
    model_options: ModelOptions,
) -> None:
    """Embed SOURCES into Parquet shards, for `clew import`.

    \b
    clew embed photos laion/00000.tar s3://bucket/media --out shards
    clew embed /mnt/media --out /mnt/shards --ray 10.0.0.1:6379
    clew import shards

    SOURCES are folders; tar and zip archives, such as those of img2dataset and webdataset; and URLs of
    folders or archives in object stores: s3:// with the extra [ray], gs:// with [gcs]. Archives in folders
    are read too. Images, videos, PDFs and texts are read as by `clew index`.

    The same command resumes a run that was killed; the shards are the same with any number of workers. A
    file that cannot be read is reported by `clew import`.
    """
    from indexer.distributed.run import embed_shards

    with quiet_decoders(), ProgressBar() as bar:
        result = embed_shards(
            sources,
            out,
            model=model,
            options=options,
            model_options=model_options,
            progress=bar.advance,
            notify=note,
        )
    write(to_json(asdict(result)) + "\n" if as_json else describe_embedded(result))
    if result.interrupted:
        raise KeyboardInterrupt("Interrupted. Complete shards are kept; the same command resumes.")


def describe_embedded(result: "EmbeddedShards") -> str:
    """Return the counts of a run, and what to do next."""
    counts = f"{pluralize(result.files, 'file')}, {pluralize(result.segments, 'segment')}"
    lines = [
        f"{pluralize(result.shards, 'shard')} written with {result.model} in {result.seconds:.1f} s: {counts}"
    ]
    lines += [f"  {result.known:,} known: an earlier run had written them"] * bool(result.known)
    lines += [f"  {pluralize(result.failed, 'file')} could not be read"] * bool(result.failed)
    if not result.interrupted:
        lines.append(printable(f"`clew import {result.out}` adds them to a library."))
    return "\n".join(lines) + "\n"
