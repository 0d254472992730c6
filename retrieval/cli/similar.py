"""clew similar: find images similar to an image."""

from pathlib import Path
from typing import Any

import click

from retrieval.cli.options import answer_options
from retrieval.cli.output import show


@click.command("similar")
@click.argument("picture", type=click.Path(path_type=Path))
@answer_options
def similar_command(
    picture: Path, library: Path, shape: str | None, kind: tuple[str, ...], **narrow: Any
) -> None:
    """Find pictures like PICTURE, which itself is left out; it need not be in the library."""
    from retrieval.library import Library

    with Library.open(library) as opened:
        show(opened.similar(picture, kind=kind or "image", **narrow), shape, opened, narrow["group"])
