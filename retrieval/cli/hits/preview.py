"""Print hits with their pictures, in the graphics that the terminal understands."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from retrieval.cli.console import relative_path
from retrieval.formatting import format_share, location_suffix, printable
from retrieval.types import Hit

HEIGHT = 10  # rows of a picture; two hits and the prompt fit a terminal of 24


def print_previews(
    hits: Sequence[Hit],
    thumbnails: Sequence[bytes | None],
    console: Console | None = None,
    picture: Callable[..., Any] | None = None,
) -> None:
    """Print the picture of each hit, if it has one, and a line with its rank, match, path and text.

    `thumbnails` are WebP images in the order of the hits. `picture` is a class of
    `textual_image.renderable`; by default the one for this terminal.
    """
    console = console or Console()
    picture = picture or _picture_of_terminal()
    for rank, (hit, thumbnail) in enumerate(zip(hits, thumbnails, strict=True), start=1):
        if thumbnail is not None and picture is not None:
            console.print(picture(BytesIO(thumbnail), height=HEIGHT))
        match = "" if hit.confidence is None else f"  {format_share(hit.confidence)}"
        title = Text(f"{rank}  #{hit.id}{match}  {printable(relative_path(hit.path))}{location_suffix(hit)}")
        console.print(title, style="dim" if hit.match == "weak" else "", overflow="ellipsis", no_wrap=True)
        if thumbnail is None and hit.text:
            console.print(Padding(Text(printable(" ".join(hit.text.split())[:400])), (0, 0, 0, 3)))
        console.print()


def _picture_of_terminal() -> Callable[..., Any] | None:
    """Return the class of pictures of this terminal, None for one without a size."""
    with suppress(OSError, ValueError):
        if not os.get_terminal_size(sys.stdout.fileno()).columns:
            return None
    from textual_image.renderable import Image  # late: its import asks the terminal what it understands

    return Image
