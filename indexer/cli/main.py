"""The command `clew`: retrieval's doors, and those that write."""

import errno
import sqlite3
from typing import Any

import click
from click_default_group import DefaultGroup

from indexer.cli.demo import demo_command
from indexer.cli.evaluate import eval_command
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


class CommandError(click.ClickException):
    """What went wrong and what to do, for a person."""

    exit_code = 2


class ClewGroup(DefaultGroup):  # type: ignore[misc]
    """The group of commands; words that name none of them are a search."""

    def invoke(self, ctx: click.Context) -> Any:
        """Show what went wrong as one message, exit code 2."""
        try:
            return super().invoke(ctx)
        except ClewError as error:
            raise CommandError(str(error)) from error
        except sqlite3.Error as error:
            raise CommandError(f"The library cannot be used: {error}. `clew verify` tells more.") from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise CommandError(f"{error.strerror or error}: {error.filename or 'writing'}") from error


@click.group(cls=ClewGroup, default="search", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clew-search", prog_name="clew")
def main() -> None:
    """Find photos and passages by meaning.

    \b
    clew index ~/Pictures          index a folder; run it again at any time
    clew "a dog running on grass"  search: the words need no command
    clew search --image photo.jpg --kind text
    """


for _command in (
    index_command,
    forget_command,
    verify_command,
    eval_command,
    demo_command,
    prepare_command,
    switch_command,
    tag_command,
    teach_command,
    watch_command,
    search_command,
    similar_command,
    status_command,
    models_command,
    duplicates_command,
    clip_command,
):
    main.add_command(_command)
