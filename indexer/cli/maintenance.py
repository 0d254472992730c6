"""clew forget and clew verify."""

from pathlib import Path

import click

from indexer.cli.progress import ProgressBar, quiet_decoders
from retrieval.cli.console import note, write
from retrieval.cli.options import library_option
from retrieval.formatting import pluralize


@click.command("forget")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--purge", is_flag=True, help="Delete what was kept of files that are gone.")
@click.option("--space", metavar="MODEL", help="Delete the vectors of a model that does not answer any more.")
@library_option
def forget_command(folders: tuple[Path, ...], purge: bool, space: str | None, library: Path) -> None:
    """Take FOLDERS out of the library; the files themselves are not touched.

    What was learned of them is kept, so that indexing them again is quick, until --purge deletes it.
    """
    from indexer.operations.forget import forget

    if not folders and not purge and space is None:
        raise click.UsageError("Give a folder to forget, --purge, or --space MODEL.")
    files, segments = forget(folders, library=library, purge=purge, space=space)
    done = [f"{pluralize(files, 'file')} forgotten"] * bool(folders or purge)
    done += [f"{pluralize(segments, 'segment')} deleted"] * purge
    done += [f"the space {space} deleted"] * (space is not None)
    write(", ".join(done) + ".\n")


@click.command("verify")
@click.option("--repair", is_flag=True, help="Build a damaged index, and make missing thumbnails, again.")
@library_option
def verify_command(repair: bool, library: Path) -> None:
    """Check that the library is as it was written; exit code 1 if it is not."""
    from indexer.operations.verify import verify_library

    with quiet_decoders(), ProgressBar() as bar:
        findings = verify_library(library, repair=repair, progress=bar.advance, notify=note)
    for line in findings.repaired:
        write(line + "\n")
    for line in [*findings.errors, *findings.warnings]:
        note(line)
    if findings.errors:
        raise SystemExit(1)
    write("All is as it was written.\n")
