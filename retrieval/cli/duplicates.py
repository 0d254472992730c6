"""clew duplicates: list groups of copies, near-duplicates, pairs and bursts."""

from collections.abc import Sequence
from pathlib import Path

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, relative_path, write
from retrieval.cli.options import library_option
from retrieval.formatting import format_bytes, pluralize, printable, to_json
from retrieval.types import FILE_GROUP_REASONS, FileAttributes, Group


@click.command("duplicates", cls=ClewCommand)
@click.argument("folder", required=False)
@click.option(
    "--by",
    type=click.Choice(FILE_GROUP_REASONS),
    multiple=True,
    default=("copy", "near-duplicate"),
    show_default=True,
    help="Group files for this reason. Repeatable.",
)
@click.option("--json", "output_format", flag_value="json", help="Write one JSON array.")
@click.option(
    "--paths", "output_format", flag_value="paths", help="Write the paths of all but the best of each group."
)
@click.option(
    "-0", "output_format", flag_value="null", help="Write those paths separated by NUL, for xargs -0."
)
@library_option
def duplicates_command(
    folder: str | None, by: tuple[str, ...], output_format: str | None, library: Path
) -> None:
    """List duplicate files in FOLDER, or in the library. Never deletes anything.

    \b
    copy            the same bytes
    near-duplicate  the same image, resized, recompressed, brightened or cropped;
                    of documents and screenshots, the text is the same, too
    pair            a raw file and its JPEG, or a photo and its clip
    burst           similar photos taken by one camera within seconds

    Groups with the most redundant bytes come first. The best file of each group is marked * and comes
    first, and every other file is a duplicate of that one. The best is online, not in an archive, and not
    in a folder or under a name that marks a copy (backup, copy, export, trash, downloads, WhatsApp ...).
    Of the files that are left, it has more pixels, is sharper, has a date and a camera, is larger, is
    older, and has the shorter path, in this order.

    Files that have changed since they were indexed and hard links are left out; --paths also leaves out
    files in archives, and files with more pixels than the best. The exit code is 1 if nothing is found.
    """
    from retrieval.library import Library

    with Library.open(library) as opened:
        groups = opened.duplicates(folder, by=by)
    if output_format == "json":
        write(as_json(groups))
    elif output_format:
        end = "\0" if output_format == "null" else "\n"
        write("".join(path + end for path in redundant_paths(groups)))
    else:
        write("\n".join(map(describe_group, groups)))
    if not groups:
        note("No duplicates found.")
        raise SystemExit(1)
    if output_format is None:
        redundant = sum({file.path: file.size for group in groups for file in group.redundant}.values())
        note(f"{pluralize(len(groups), 'group')}, {format_bytes(redundant)} redundant. Nothing was deleted.")


def describe_group(group: Group) -> str:
    """Return a heading and a line for each file."""
    sizes = f"{format_bytes(group.size)}, {format_bytes(group.waste)} redundant"
    heading = f"{group.reason}: {pluralize(len(group.files), 'file')}, {sizes}"
    lines = [_describe_file(file, best=position == 0) for position, file in enumerate(group.files)]
    return "\n".join([heading, *lines]) + "\n"


def _describe_file(file: FileAttributes, best: bool) -> str:
    pixels = f"{file.width} x {file.height}" if file.width and file.height else ""
    path = printable(relative_path(file.path)) + " (offline)" * file.offline
    return f"{'*' if best else ' '} {format_bytes(file.size):>8}  {pixels:>13}  {path}"


def as_json(groups: Sequence[Group]) -> str:
    """Return one JSON array of groups."""
    return to_json([as_dict(group) for group in groups]) + "\n"


def as_dict(group: Group) -> dict[str, object]:
    """Return the public keys of a group; its files are best first."""
    keys = ("path", "kind", "size", "width", "height", "taken", "offline")
    files = [{key: getattr(file, key) for key in keys} for file in group.files]
    numbers = {"count": len(group.files), "size": group.size, "waste": group.waste}
    return {"reason": group.reason, **numbers, "files": files}


def redundant_paths(groups: Sequence[Group]) -> list[str]:
    """Return the paths of all but the best of each group, each once, without files in archives.

    `rm` cannot delete a file in an archive. Files with more pixels than the best are left out, too.
    """
    extras = (file for group in groups for file in group.redundant if not file.in_archive)
    return list(dict.fromkeys(str(file.path) for file in extras))
