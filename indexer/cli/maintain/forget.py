"""clew forget: remove folders and stored data from the library."""

from pathlib import Path

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import library_option, milvus_token
from retrieval.formatting import pluralize


@click.command("forget", cls=ClewCommand)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--purge", is_flag=True, help="Delete the stored data of removed and deleted files.")
@click.option("--space", metavar="MODEL", help="Delete the vectors of a model that is no longer used.")
@library_option
@interruptible()
def forget_command(folders: tuple[Path, ...], purge: bool, space: str | None, library: Path) -> None:
    """Remove FOLDERS from the library; their files are not touched.

    Their data is kept until --purge, so that indexing them again is fast.
    """
    from indexer.operations.forget import forget

    if not folders and not purge and space is None:
        raise click.UsageError("Give a folder to forget, --purge, or --space MODEL.")
    files, segments = forget(
        folders, library=library, purge=purge, space=space, milvus_token=milvus_token(), notify=note
    )
    results = [f"{pluralize(files, 'file')} forgotten"] * bool(folders or purge)
    results += [f"{pluralize(segments, 'segment')} deleted"] * purge
    results += [f"the vectors of {space} deleted"] * (space is not None)
    write(", ".join(results) + ".\n")
