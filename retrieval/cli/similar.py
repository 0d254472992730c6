"""clew similar: find images similar to an image."""

from pathlib import Path
from typing import Any

import click

from retrieval.cli.options import (
    GroupedCommand,
    filter_options,
    library_option,
    output_options,
    result_options,
)
from retrieval.cli.output import show_hits


@click.command("similar", cls=GroupedCommand)
@click.argument("image", type=click.Path(path_type=Path))
@filter_options
@result_options
@output_options
@library_option
def similar_command(
    image: Path, library: Path, output_format: str | None, kind: tuple[str, ...], **options: Any
) -> None:
    """Find images similar to IMAGE.

    IMAGE itself and its copies are left out; it need not be in the library. --kind video or --kind page
    searches those instead.
    """
    from retrieval.library import Library

    with Library.open(library) as opened:
        hits = opened.similar(image, kind=kind or "image", **options)
        show_hits(hits, output_format, opened, options["group"])
