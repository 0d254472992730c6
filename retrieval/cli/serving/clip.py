"""clew clip: save a moment of a video or an audio file as a new file."""

from pathlib import Path

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, relative_path, write
from retrieval.cli.interrupts import INTERRUPTED, interruptible
from retrieval.cli.options import library_option
from retrieval.errors import MediaError
from retrieval.formatting import format_timestamp, printable, to_json


@click.command("clip", cls=ClewCommand)
@click.argument("hit")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--around",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Add this many seconds before and after the hit.",
)
@click.option("--exact", is_flag=True, help="Start exactly at the hit; this re-encodes the video.")
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
@library_option
@interruptible(INTERRUPTED)
def clip_command(
    hit: str, out: Path, around: float, exact: bool, force: bool, as_json: bool, library: Path
) -> None:
    """Save HIT as a new video or audio file.

    HIT is a moment of a video or an audio file, and OUT the new file:

    \b
    clew "a dog jumps" --kind video          prints: walk.mp4 @ 01:23.4
    clew clip "walk.mp4 @ 01:23.4" dog.mp4
    clew clip 1234 dog.mp4                   by id (`clew search` shows ids)

    The streams are copied without re-encoding if the format of OUT permits it; the clip then starts at the
    key frame before HIT, and its actual start is printed. Otherwise they are re-encoded. Streams that OUT
    does not contain, such as subtitles, or the video in OUT.mp3, are named. OUT is read again before it
    appears under its name.
    """
    from retrieval.library import Library

    number = hit.removeprefix("#")
    with Library.open(library) as opened:
        try:
            clip = opened.clip(
                int(number) if number.isdecimal() else hit, out, around=around, exact=exact, force=force
            )
        except MediaError as error:
            raise click.ClickException(f"Cannot write {out}: {error}.") from error
    if as_json:
        write(to_json(clip) + "\n")
        return
    write(f"{printable(str(clip.path))}\n")
    method = "copied from the key frame before the hit" if clip.copied else "re-encoded"
    source = printable(relative_path(clip.source))
    if clip.left_out:
        note(f"Not in {printable(clip.path.name)}: {', '.join(clip.left_out)} of {source}.")
    note(f"{format_timestamp(clip.start)} to {format_timestamp(clip.end)} of {source}, {method}.")
