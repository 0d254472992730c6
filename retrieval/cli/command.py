"""Classes of commands: they refuse conflicting options, list options in groups, and accept `-word`."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar

import click

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])
Decorator: TypeAlias = Callable[[AnyCommand], AnyCommand]

DEFAULT_GROUP = "General"


class ClewCommand(click.Command):
    """A command that refuses two values of an option, because only one could apply."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; raises UsageError for options that exclude each other."""
        if not ctx.resilient_parsing:
            self._check_conflicts(ctx, args)
        return super().parse_args(ctx, args)

    def _check_conflicts(self, ctx: click.Context, args: list[str]) -> None:
        """Raise UsageError if an option has two values, or two options set the same value."""
        given = defaultdict[str, list[click.Option]](list)
        for param in self.make_parser(ctx).parse_args(list(args))[2]:
            if isinstance(param, click.Option) and param.name and not param.multiple:
                given[param.name].append(param)
        for options in given.values():
            names = list(dict.fromkeys(option.opts[0] for option in options))
            if len(names) > 1:
                raise click.UsageError(
                    f"{names[0]} and {names[1]} exclude each other. Give one of them.", ctx
                )
            if len(options) > 1 and not options[0].is_flag:
                raise click.UsageError(f"{names[0]} is given {len(options)} times. Give it once.", ctx)


class GroupedOption(click.Option):
    """An option that the help lists under the title of its group."""

    group = DEFAULT_GROUP


class GroupedCommand(ClewCommand):
    """A command whose help lists its options in groups, in the order of their declaration."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group; options without a group come last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for param in sorted(options, key=lambda option: not isinstance(option, GroupedOption)):
            if record := param.get_help_record(ctx):
                groups.setdefault(getattr(param, "group", DEFAULT_GROUP), []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


class QueryCommand(GroupedCommand):
    """A command whose arguments are a query, in which `-word` subtracts a word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options; all other arguments are words, even if they begin with a hyphen."""
        options, words = self._split_args(ctx, args)
        return super().parse_args(ctx, [*options, "--", *words])

    def _split_args(self, ctx: click.Context, args: list[str]) -> tuple[list[str], list[str]]:
        """Return the options with their values, and the words."""
        known = {name: param for param in self.get_params(ctx) for name in param.opts}
        options, words, rest = list[str](), list[str](), iter(args)
        for arg in rest:
            if arg == "--":
                return options, [*words, *rest]
            if arg.startswith("--") or _is_short_option(arg, known):
                options.append(arg)
                param = known.get(arg)
                if isinstance(param, click.Option) and not param.is_flag:
                    value = next(rest, None)
                    if value is None and ctx.resilient_parsing:  # a shell completes the value
                        return options, words
                    if value is None:
                        raise click.BadOptionUsage(arg, f"Option {arg!r} requires an argument.", ctx)
                    options.append(value)
            else:
                _check_hyphens(arg, known, ctx)
                words.append(arg)
        return options, words


def _is_short_option(arg: str, known: Mapping[str, click.Parameter]) -> bool:
    """Return True for -k, -k5 and -k=5, but not for -kids."""
    if arg in known:
        return arg.startswith("-")
    param = known.get(arg[:2])
    takes_value = isinstance(param, click.Option) and not param.is_flag
    return takes_value and arg[:1] == "-" and arg[2:].removeprefix("=").isdecimal()


def _check_hyphens(arg: str, known: Mapping[str, click.Parameter], ctx: click.Context) -> None:
    """Raise NoSuchOption for a letter after a hyphen, and for the name of an option after a single one."""
    name = arg.partition("=")[0]
    if re.fullmatch("-[a-zA-Z]", arg) or (name.startswith("-") and f"-{name}" in known):
        possibilities = [f"-{name}"] if f"-{name}" in known else None
        hint = f' To subtract the word, give one query in quotes: "... {arg}"'
        raise click.NoSuchOption(arg, f"No such option {arg!r}.{hint}", possibilities, ctx)


def option_group(title: str) -> Callable[..., Decorator[Any]]:
    """Return `click.option` for the options of a group."""
    return partial(click.option, cls=type("GroupedOption", (GroupedOption,), {"group": title}))
