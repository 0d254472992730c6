"""The door to moments as files of their own: `clew clip`."""

from pathlib import Path

import click

from retrieval.cli.console import note, relative_path, write
from retrieval.cli.options import library_option
from retrieval.errors import MediaError
from retrieval.formatting import format_timestamp, printable, to_json


@click.command("clip")
@click.argument("hit")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--around", type=click.FloatRange(0), default=0.0, metavar="SECONDS", help="So much more on both sides."
)
@click.option("--exact", is_flag=True, help="Begin exactly where the hit does: pictures are coded anew.")
@click.option("--force", is_flag=True, help="Replace OUT.")
@click.option("--json", "as_json", is_flag=True, help="What was written, as JSON.")
@library_option
def clip_command(
    hit: str, out: Path, around: float, exact: bool, force: bool, as_json: bool, library: Path
) -> None:
    """Cut HIT, a moment of a video or a sound, into the file OUT.

    \b
    clew "a dog jumps" --kind video          shows: walk.mp4 @ 01:23.4
    clew clip "walk.mp4 @ 01:23.4" dog.mp4
    clew clip 1234 dog.mp4                   by its id, which --json tells

    Nothing is coded anew where that can be: then the clip begins at the key frame before the moment, and
    what was written is said. Into a format that cannot hold the pictures as they are, they are coded anew.
    """
    from retrieval.library import Library

    number = hit.removeprefix("#")
    with Library.open(library) as opened:
        try:
            done = opened.clip(
                int(number) if number.isdecimal() else hit, out, around=around, exact=exact, force=force
            )
        except MediaError as error:
            raise click.ClickException(f"{out} was not written: {error}.") from error
    if as_json:
        write(to_json(done) + "\n")
        return
    write(f"{printable(str(done.path))}\n")
    how = "copied, from the key frame before it on" if done.copied else "coded anew"
    place = relative_path(printable(str(done.source)))
    note(f"{format_timestamp(done.start)} to {format_timestamp(done.end)} of {place}, {how}.")
