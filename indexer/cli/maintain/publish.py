"""clew publish: send the vectors of the library to a Milvus server."""

from dataclasses import asdict
from pathlib import Path

import click

from indexer.cli.progress import ProgressBar
from retrieval.cli.command import ClewCommand
from retrieval.cli.console import write
from retrieval.cli.interrupts import interruptible
from retrieval.cli.options import library_option, milvus_token
from retrieval.formatting import pluralize, to_json


@click.command("publish", cls=ClewCommand)
@click.argument("server", required=False, metavar="[URL]")
@click.option("--check", is_flag=True, help="Compare all rows of the server too, and repair them.")
@click.option("--json", "as_json", is_flag=True, help="Write the counts as JSON.")
@library_option
@interruptible()
def publish_command(server: str | None, check: bool, as_json: bool, library: Path) -> None:
    """Send new and deleted vectors to the Milvus server at URL.

    Searches then use the server; `clew index` publishes its changes, and `clew index --vectors local`
    returns to the index files. The library saves the URL: http://HOST:19530, or with TLS
    https://HOST/DATABASE?ca=FILE. The server's token, or USER:PASSWORD, is read from CLEW_MILVUS_TOKEN.

    The library remains complete without the server. Ctrl-C is safe: the next run continues.
    """
    from indexer.operations.publish import publish_library

    with ProgressBar() as bar:
        published = publish_library(
            server, library=library, token=milvus_token(), check=check, progress=bar.advance
        )
    if as_json:
        write(to_json(asdict(published)) + "\n")
    else:
        counts = [f"{pluralize(published.written, 'vector')} written", f"{published.deleted:,} deleted"]
        counts += [f"{pluralize(published.different, 'row')} differed"] * published.compared
        write(f"{published.server}: {', '.join(counts)} in {published.seconds:.1f} s.\n")
    if published.interrupted:
        raise KeyboardInterrupt("Interrupted. Published vectors are kept; `clew publish` sends the others.")
