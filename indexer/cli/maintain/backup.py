"""clew backup and clew restore: copy the library into a file, and back."""

from dataclasses import asdict
from pathlib import Path

import click

from indexer.cli.progress import ProgressBar
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import library_option
from retrieval.formatting import format_bytes, pluralize, printable, to_json

json_option = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")


@click.command("backup", cls=ClewCommand)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@json_option
@library_option
@interruptible()
def backup_command(file: Path, overwrite: bool, as_json: bool, library: Path) -> None:
    """Copy the library into FILE, also while it is in use.

    FILE is an uncompressed tar archive; if it is a folder, or has no suffix such as .tar, an archive with
    the date in its name is made in this folder. It contains the catalog, index files and thumbnails, not your
    media. A damaged library is not copied.
    """
    from indexer.operations.backup import backup_library

    with ProgressBar() as bar:
        backup = backup_library(file, library=library, overwrite=overwrite, progress=bar.advance)
    if as_json:
        write(to_json({**asdict(backup), "file": str(backup.file)}) + "\n")
        return
    counts = f"{pluralize(backup.files, 'file')}, {pluralize(backup.segments, 'segment')}"
    write(f"{printable(str(backup.file))}: {counts}, {format_bytes(backup.bytes)}.\n")


@click.command("restore", cls=ClewCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Set an existing library aside; it is kept.")
@json_option
@library_option
@interruptible()
def restore_command(file: Path, replace: bool, as_json: bool, library: Path) -> None:
    """Restore the library from FILE, a backup.

    All checksums in FILE are checked before anything is changed.
    """
    from indexer.operations.backup import restore_library

    with ProgressBar() as bar:
        restored = restore_library(file, library=library, replace=replace, progress=bar.advance)
    if as_json:
        kept = None if restored.kept is None else str(restored.kept)
        write(to_json({**asdict(restored), "library": str(restored.library), "kept": kept}) + "\n")
        return
    counts = f"{pluralize(restored.files, 'file')}, {pluralize(restored.segments, 'segment')}"
    write(f"{printable(str(restored.library))}: {counts}. `clew index` adds what has changed since.\n")
    if restored.kept is not None:
        note(f"The library that was there is {printable(str(restored.kept))}.")
