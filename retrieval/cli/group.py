"""The `clew` command: a group of commands; other arguments are a search."""

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from itertools import dropwhile
from pathlib import Path
from shlex import join
from typing import IO, Any

import click
from click.shell_completion import CompletionItem, get_completion_class
from click_default_group import DefaultGroup

from retrieval.cli.command import ClewCommand
from retrieval.cli.console import note, write
from retrieval.cli.interrupts import exit_code_of_interrupt
from retrieval.errors import ClewError

COMPLETION_VARIABLE = "_CLEW_COMPLETE"  # that click reads in `clew` to complete its arguments
MIN_SIMILARITY = 0.75  # of a misspelled command, as a ratio of difflib
OTHER_NAMES = {  # names that other programs give to these commands
    **dict.fromkeys(("ls", "list", "dir", "info"), "status"),
    **dict.fromkeys(("find", "query", "grep"), "search"),
    **dict.fromkeys(("add", "scan", "update"), "index"),
    **dict.fromkeys(("dup", "dups", "dupes"), "duplicates"),
    **dict.fromkeys(("rm", "remove", "delete"), "forget"),
    **dict.fromkeys(("check", "repair", "fsck"), "verify"),
}


class CommandError(click.ClickException):
    """An error that is shown as one message; the exit code is 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message to stderr, wrapped at words."""
        note(f"Error: {self.format_message()}")


class LateCommands(Mapping[str, click.Command]):
    """The commands of some modules, imported when they are needed, so that each starts fast."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        """Take the module of each command: `index` is `index_command` there."""
        self._modules = modules

    def __getitem__(self, name: str) -> click.Command:
        return getattr(import_module(self._modules[name]), f"{name}_command")  # type: ignore[no-any-return]

    def __contains__(self, name: object) -> bool:
        return name in self._modules  # that of Mapping imports the module

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class ClewGroup(DefaultGroup):  # type: ignore[misc]
    """The command group; arguments that do not start with a command are a search."""

    def __init__(
        self,
        *args: Any,
        groups: Mapping[str, Mapping[str, str]],
        default: str = "search",
        **fields: Any,
    ) -> None:
        modules = {name: module for group in groups.values() for name, module in group.items()}
        super().__init__(*args, default=default, commands=LateCommands(modules), **fields)
        self.groups = groups  # title -> names of commands, in the order of use, and their modules

    def make_context(self, *args: Any, **fields: Any) -> click.Context:
        """Parse the arguments, which may import a model; end on Ctrl-C as `invoke` does."""
        with exit_code_of_interrupt():
            return super().make_context(*args, **fields)  # type: ignore[no-any-return]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options of the group and the name of the command."""
        return list(super().parse_args(ctx, args if ctx.resilient_parsing else self._expand(ctx, args)))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin with a text, else what completes it as a word of a search."""
        found: list[CompletionItem] = super().shell_complete(ctx, incomplete)
        search = self.commands["search"]
        with search.make_context("search", [], ctx, resilient_parsing=True) as context:
            return found or search.params[0].shell_complete(context, incomplete)

    def _expand(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the arguments with `help`, `version` and a missing `search` in the form of click."""
        options = {name for param in self.get_params(ctx) for name in param.opts}
        if not args or args[0] in self.commands or args[0] in options:
            return args
        if args == ["version"]:
            return ["--version"]
        if args[0] == "help" and (len(args) == 1 or (len(args) == 2 and args[1] in self.commands)):
            return [*args[1:], "--help"]
        if meant := self._misspelled_command(args):
            rest: Iterable[str] = args[1:]
            if not any(isinstance(param, click.Argument) for param in self.commands[meant].params):
                rest = dropwhile(lambda arg: not arg.startswith("-"), rest)  # the command takes none
            command, search = join(["clew", meant, *rest]), join(["clew", "search", *args])
            raise CommandError(
                f"No command {args[0]!r}. Did you mean `{command}`? To search for the words: `{search}`."
            )
        return ["search", *args]

    def _misspelled_command(self, args: Sequence[str]) -> str | None:
        """Return the command that the first argument probably means, None for a word to search for."""
        word = args[0].lower()
        other_name = OTHER_NAMES.get(word)
        if other_name in self.commands and (not _is_word(word) or (args[1:] and Path(args[1]).exists())):
            return other_name
        for name in get_close_matches(word, self.commands, 1, MIN_SIMILARITY):
            is_typo = name[0] == word[0] or sorted(name) == sorted(word)
            return name if is_typo and not _is_word(word) else None
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show library, SQLite and file errors, and Ctrl-C, without a traceback."""
        try:
            with exit_code_of_interrupt():
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
        for title, names in self.groups.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(width), self.commands[name].get_short_help_str(limit)) for name in names]
                )


@click.command("completion", cls=ClewCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Write the completion script of a shell.

    \b
    eval "$(clew completion bash)"     in ~/.bashrc
    eval "$(clew completion zsh)"      in ~/.zshrc
    clew completion fish > ~/.config/fish/completions/clew.fish
    """
    group = context.find_root().command
    write(get_completion_class(shell)(group, {}, "clew", COMPLETION_VARIABLE).source())  # type: ignore[misc]


def _is_word(word: str) -> bool:
    """Return True for a word that the built-in model knows: `beach`, `watches`, but not `serach`."""
    from retrieval.embedders.builtin import BuiltinEmbedder  # late, as few arguments resemble a command

    count = BuiltinEmbedder().count_tokens
    return count(word) == 1 or (word.endswith(("ed", "es")) and count(word[:-2]) == 1)
