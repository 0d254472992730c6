"""The door to groups of files that belong together: `clew duplicates`."""

from collections.abc import Sequence
from pathlib import Path

import click

from retrieval.cli.console import note, relative_path, write
from retrieval.cli.options import library_option
from retrieval.formatting import format_bytes, pluralize, printable, to_json
from retrieval.types import FILE_GROUP_REASONS, FileAttributes, Group


@click.command("duplicates")
@click.argument("folder", required=False)
@click.option(
    "--by",
    type=click.Choice(FILE_GROUP_REASONS),
    multiple=True,
    default=("copy", "near-duplicate"),
    show_default=True,
    help="Why files belong together; may be given again.",
)
@click.option("--json", "shape", flag_value="json", help="One JSON array.")
@click.option("--paths", "shape", flag_value="paths", help="Paths of all but the best of each group.")
@click.option("-0", "shape", flag_value="null", help="The same ended by NUL, for xargs -0.")
@library_option
def duplicates_command(folder: str | None, by: tuple[str, ...], shape: str | None, library: Path) -> None:
    """List the files under FOLDER, or all, that are there more than once. Nothing is ever deleted.

    \b
    copy            the same bytes
    near-duplicate  a picture resized, compressed again, brightened, trimmed
    pair            raw and JPEG, or photo and clip, of one name
    burst           taken within seconds by one camera, and alike

    Groups that waste most come first; the best file of each, marked *, leads: there now, not in an archive,
    then more pixels, then sharper, then larger, then the shorter path. What has changed since it was indexed
    is left out, and so are other names of one file; --paths leaves out what is in archives. Exit code 1 when
    there are none.
    """
    from retrieval.library import Library

    with Library.open(library) as opened:
        groups = opened.duplicates(folder, by=by)
    if shape == "json":
        write(as_json(groups))
    elif shape:
        write("".join(f"{path}{chr(0) if shape == 'null' else chr(10)}" for path in redundant_paths(groups)))
    else:
        write("\n".join(map(describe_group, groups)))
    if not groups:
        note("Nothing is there twice.")
        raise SystemExit(1)
    if shape is None:
        beyond = sum({file.path: file.size for each in groups for file in each.files[1:]}.values())
        note(
            f"{pluralize(len(groups), 'group')}, {format_bytes(beyond)} beyond the best of each. "
            f"Nothing was deleted."
        )


def describe_group(group: Group) -> str:
    """Return a group as a heading and a line for each file, the best marked."""
    sizes = f"{format_bytes(group.size)}, {format_bytes(group.waste)} beyond the best"
    numbers = f"{pluralize(len(group.files), 'file')}, {sizes}"
    lines = [_file_line(file, best=at == 0) for at, file in enumerate(group.files)]
    return "\n".join([f"{group.reason}: {numbers}", *lines]) + "\n"


def _file_line(file: FileAttributes, best: bool) -> str:
    pixels = f"{file.width} x {file.height}" if file.width and file.height else ""
    place = relative_path(printable(str(file.path))) + " (offline)" * file.offline
    return f"{'*' if best else ' '} {format_bytes(file.size):>8}  {pixels:>13}  {place}"


def as_json(groups: Sequence[Group]) -> str:
    """Return one JSON array of groups."""
    return to_json([as_dict(group) for group in groups]) + "\n"


def as_dict(group: Group) -> dict[str, object]:
    """Return a group's keys, its files the best first."""
    keys = ("path", "kind", "size", "width", "height", "taken", "offline")
    files = [{key: getattr(file, key) for key in keys} for file in group.files]
    numbers = {"count": len(group.files), "size": group.size, "waste": group.waste}
    return {"reason": group.reason, **numbers, "files": files}


def redundant_paths(groups: Sequence[Group]) -> list[str]:
    """Return every path that does not lead, each once; not those in archives, which no `rm` takes out."""
    extras = (file for group in groups for file in group.files[1:] if not file.in_archive)
    return list(dict.fromkeys(str(file.path) for file in extras))
