"""The `clew` command."""

import errno
import sqlite3
from typing import Any

import click
from click_default_group import DefaultGroup

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
from retrieval.cli.models import models_command
from retrieval.cli.search import search_command
from retrieval.cli.similar import similar_command
from retrieval.cli.status import status_command
from retrieval.errors import ClewError

COMMAND_GROUPS = {  # title -> commands, in the order of use
    "Start": (demo_command, formats_command, index_command, watch_command),
    "Search": (search_command, similar_command, clip_command, duplicates_command),
    "Organize": (tag_command, teach_command),
    "Models": (models_command, prepare_command, switch_command),
    "Maintain": (status_command, verify_command, forget_command),
    "Measure": (eval_command,),
}


class CommandError(click.ClickException):
    """An error that is shown as one message; the exit code is 2."""

    exit_code = 2


class ClewGroup(DefaultGroup):  # type: ignore[misc]
    """The command group; arguments that do not start with a command are a search."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show library, SQLite and file errors without a traceback."""
        try:
            return super().invoke(ctx)
        except ClewError as error:
            raise CommandError(str(error)) from error
        except sqlite3.Error as error:
            raise CommandError(f"Cannot use the library: {error}. Run `clew verify` for details.") from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise CommandError(f"{error.strerror or error}: {error.filename or 'writing'}") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group of commands."""
        width = max(map(len, self.commands))
        limit = formatter.width - width - 6  # columns of a command's short help
        for title, commands in COMMAND_GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [
                        ((command.name or "").ljust(width), command.get_short_help_str(limit))
                        for command in commands
                    ]
                )


@click.group(cls=ClewGroup, default="search", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clew-search", prog_name="clew")
def main() -> None:
    """Search your photos, videos, documents and audio by their content.

    \b
    clew index ~/Pictures          index a folder; repeat to update
    clew "a dog running on grass"  search; no command needed
    clew search --image photo.jpg --kind text

    `clew COMMAND --help` describes a command and its options.
    """


for _command in (command for commands in COMMAND_GROUPS.values() for command in commands):
    main.add_command(_command)
