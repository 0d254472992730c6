"""clew mcp: search by an agent, through the Model Context Protocol."""

from importlib.util import find_spec
from pathlib import Path

import click

from retrieval.cli.command import ClewCommand
from retrieval.cli.options import library_option, milvus_token
from retrieval.cli.serving.running_calls import end_running_calls
from retrieval.errors import ExtraMissing


@click.command("mcp", cls=ClewCommand)
@library_option
def mcp_command(library: Path) -> None:
    """Let an agent search.

    This is a server of the Model Context Protocol on standard input and output. Register `clew mcp` as a
    command in the settings of the agent. Its six tools only read. `clew serve` has the same tools at /mcp.
    """
    if find_spec("mcp") is None:
        raise ExtraMissing("clew mcp", "mcp")
    from retrieval.library import Library
    from retrieval.server.dialects.mcp_tools import serve_stdio
    from retrieval.server.options import ServerOptions

    serve_stdio(Library.open(library, token=milvus_token()), ServerOptions())
    end_running_calls(0)
