"""The commands that read a library, for a process that must not write to it."""

import click

from retrieval.cli.group import ClewGroup

COMMAND_GROUPS = {  # title -> names of commands, in the order of use, and their modules
    "Search": {
        "search": "retrieval.cli.search",
        "serve": "retrieval.cli.serving.serve",
        "mcp": "retrieval.cli.serving.mcp",
        "export": "retrieval.cli.serving.export",
        "similar": "retrieval.cli.similar",
        "show": "retrieval.cli.show",
        "clip": "retrieval.cli.serving.clip",
        "duplicates": "retrieval.cli.duplicates",
    },
    "Library": {
        "status": "retrieval.cli.status",
        "models": "retrieval.cli.models",
    },
    "Shell": {
        "completion": "retrieval.cli.group",
    },
}


@click.group(cls=ClewGroup, groups=COMMAND_GROUPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clew-search", prog_name="clew")
def main() -> None:
    """Search a library of photos, videos, documents and audio.

    These are the commands of `clew` that only read. `python -m indexer` has all commands.
    """
