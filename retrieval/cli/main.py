"""The commands that read a library, for a process that must not write to it."""

import click

from retrieval.cli.clip import clip_command
from retrieval.cli.duplicates import duplicates_command
from retrieval.cli.group import ClewGroup
from retrieval.cli.models import models_command
from retrieval.cli.search import search_command
from retrieval.cli.show import show_command
from retrieval.cli.similar import similar_command
from retrieval.cli.status import status_command

COMMAND_GROUPS = {  # title -> commands, in the order of use
    "Search": (search_command, similar_command, show_command, clip_command, duplicates_command),
    "Library": (status_command, models_command),
}


@click.group(cls=ClewGroup, groups=COMMAND_GROUPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clew-search", prog_name="clew")
def main() -> None:
    """Search a library of photos, videos, documents and audio.

    These are the commands of `clew` that only read. `python -m indexer` has all commands.
    """
