"""The `clew` command."""

import click

from indexer.cli.demo import demo_command
from indexer.cli.evaluate import eval_command
from indexer.cli.formats import formats_command
from indexer.cli.index import index_command
from indexer.cli.maintenance import forget_command, verify_command
from indexer.cli.models import prepare_command, switch_command
from indexer.cli.tag import tag_command
from indexer.cli.teach import teach_command
from indexer.cli.watch import watch_command
from retrieval.cli.clip import clip_command
from retrieval.cli.duplicates import duplicates_command
from retrieval.cli.group import ClewGroup
from retrieval.cli.models import models_command
from retrieval.cli.search import search_command
from retrieval.cli.show import show_command
from retrieval.cli.similar import similar_command
from retrieval.cli.status import status_command

COMMAND_GROUPS = {  # title -> commands, in the order of use
    "Start": (demo_command, formats_command, index_command, watch_command),
    "Search": (search_command, similar_command, show_command, clip_command, duplicates_command),
    "Organize": (tag_command, teach_command),
    "Models": (models_command, prepare_command, switch_command),
    "Maintain": (status_command, verify_command, forget_command),
    "Measure": (eval_command,),
}


@click.group(cls=ClewGroup, groups=COMMAND_GROUPS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clew-search", prog_name="clew")
def main() -> None:
    """Search your photos, videos, documents and audio by their content.

    \b
    clew index ~/Pictures          index a folder; repeat to update
    clew "a dog running on grass"  search; no command needed
    clew search --image photo.jpg --kind text

    `clew COMMAND --help` describes a command and its options.
    """
