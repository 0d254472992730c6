"""clew similar: find images similar to an image."""

from pathlib import Path

import click

from retrieval.cli.command import GroupedCommand
from retrieval.cli.hits.output import NO_HITS, ShowOptions, show_hits
from retrieval.cli.options import (
    collect_options,
    filter_options,
    library_option,
    milvus_token,
    output_options,
    result_options,
)
from retrieval.query.options import SearchOptions


@click.command("similar", cls=GroupedCommand)
@click.argument("image", type=click.Path(path_type=Path))
@filter_options
@result_options
@output_options
@library_option
@collect_options(SearchOptions)
@collect_options(ShowOptions, "show")
def similar_command(
    image: Path,
    kind: tuple[str, ...],
    count: int,
    library: Path,
    options: SearchOptions,
    show: ShowOptions,
) -> None:
    """Find images similar to IMAGE.

    IMAGE itself and its copies are left out; it need not be in the library. It may be a video, which is
    represented by a frame from its middle. --kind video or --kind page
    searches those instead.
    """
    from retrieval.library import Library

    with Library.open(library, token=milvus_token()) as opened:
        hits = opened.similar(image, kind=kind or "image", count=count, options=options)
        unknown = opened.unknown_filter_values(options=options, found=bool(hits))
        message = "\n".join(unknown) or NO_HITS
        show_hits(hits, opened, show, group=options.group, empty_message=message)
