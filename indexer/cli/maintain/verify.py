"""clew verify: check the library for damage, and repair it."""

from pathlib import Path

import click

from indexer.cli.progress import ProgressBar, quiet_decoders
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import library_option
from retrieval.formatting import pluralize, printable, to_json


@click.command("verify", cls=ClewCommand)
@click.option("--repair", is_flag=True, help="Restore damaged parts, and make missing thumbnails.")
@click.option("--trust", is_flag=True, help="Accept pages of the catalog that another program wrote.")
@click.option("--deep", is_flag=True, help="Also embed a sample again and compare the vectors.")
@click.option(
    "--sample", type=click.IntRange(1), default=200, show_default=True, help="Files that --deep embeds."
)
@click.option("--json", "as_json", is_flag=True, help="Write errors, repairs and warnings as JSON.")
@library_option
@interruptible()
def verify_command(repair: bool, trust: bool, deep: bool, sample: int, as_json: bool, library: Path) -> None:
    """Check the library for damage.

    Checks the pages and tables of the catalog, and all index files and thumbnails. The exit code is 1 if
    something is damaged. Searches remain correct with a damaged index, but are slower.

    Damaged pages of the catalog are restored from parity. If too many are damaged, --repair keeps the catalog
    under another name and recovers its readable rows.
    """
    from indexer.operations.verify import verify_library

    with quiet_decoders(), ProgressBar() as bar:
        findings = verify_library(
            library,
            repair=repair,
            trust=trust,
            sample=sample if deep else 0,
            progress=bar.advance,
            notify=note,
        )
    if as_json:
        keys = ["errors", "repaired", "warnings", *(["compared"] if deep else [])]
        write(to_json({key: getattr(findings, key) for key in keys}) + "\n")
    else:
        write("".join(printable(line) + "\n" for line in findings.repaired))
        for line in [*findings.errors, *findings.warnings]:
            note(line)
        if deep:
            note(f"{pluralize(findings.compared, 'vector')} embedded again and compared.")
        write("No damage found.\n" * (not findings.errors))
    if findings.errors:
        raise SystemExit(1)
