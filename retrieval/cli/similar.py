"""clew similar: find images similar to an image."""

from pathlib import Path
from typing import Any

import click

from retrieval.cli.options import search_options
from retrieval.cli.output import show_hits


@click.command("similar")
@click.argument("picture", type=click.Path(path_type=Path))
@search_options
def similar_command(
    picture: Path, library: Path, shape: str | None, kind: tuple[str, ...], **options: Any
) -> None:
    """Find pictures like PICTURE, which itself is left out; it need not be in the library."""
    from retrieval.library import Library

    with Library.open(library) as opened:
        show_hits(opened.similar(picture, kind=kind or "image", **options), shape, opened, options["group"])
