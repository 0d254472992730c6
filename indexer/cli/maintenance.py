"""clew forget and clew verify: remove folders and check the library."""

from pathlib import Path

import click

from indexer.cli.progress import ProgressBar, quiet_decoders
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.options import library_option
from retrieval.formatting import pluralize, printable, to_json


@click.command("forget", cls=ClewCommand)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--purge", is_flag=True, help="Delete the stored data of removed and deleted files.")
@click.option("--space", metavar="MODEL", help="Delete the vectors of a model that is no longer used.")
@library_option
def forget_command(folders: tuple[Path, ...], purge: bool, space: str | None, library: Path) -> None:
    """Remove FOLDERS from the library; their files are not touched.

    Their data is kept until --purge, so that indexing them again is fast.
    """
    from indexer.operations.forget import forget

    if not folders and not purge and space is None:
        raise click.UsageError("Give a folder to forget, --purge, or --space MODEL.")
    files, segments = forget(folders, library=library, purge=purge, space=space)
    results = [f"{pluralize(files, 'file')} forgotten"] * bool(folders or purge)
    results += [f"{pluralize(segments, 'segment')} deleted"] * purge
    results += [f"the vectors of {space} deleted"] * (space is not None)
    write(", ".join(results) + ".\n")


@click.command("verify", cls=ClewCommand)
@click.option("--repair", is_flag=True, help="Rebuild damaged indexes and missing thumbnails.")
@click.option("--json", "as_json", is_flag=True, help="Write errors, repairs and warnings as JSON.")
@library_option
def verify_command(repair: bool, as_json: bool, library: Path) -> None:
    """Check the library for damage.

    The exit code is 1 if something is damaged. Searches remain correct with a damaged index, but are slower.
    """
    from indexer.operations.verify import verify_library

    with quiet_decoders(), ProgressBar() as bar:
        findings = verify_library(library, repair=repair, progress=bar.advance, notify=note)
    if as_json:
        keys = ("errors", "repaired", "warnings")
        write(to_json({key: getattr(findings, key) for key in keys}) + "\n")
    else:
        write("".join(printable(line) + "\n" for line in findings.repaired))
        for line in [*findings.errors, *findings.warnings]:
            note(line)
        write("No damage found.\n" * (not findings.errors))
    if findings.errors:
        raise SystemExit(1)
