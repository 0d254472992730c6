"""Options that several commands share, and their groups in the help."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from click.shell_completion import CompletionItem

from retrieval.cli.command import AnyCommand, Decorator, option_group
from retrieval.errors import ClewError
from retrieval.system import default_library, distinct_libraries
from retrieval.types import KINDS, ORIENTATIONS, SORT_ORDERS

if TYPE_CHECKING:
    from retrieval.library import Library


def collect_options(record: type[object], name: str = "options") -> Decorator[Any]:
    """Return a decorator that passes the options named as the fields of a dataclass as one, under a name.

    Options that are not given keep the defaults of the dataclass.
    """
    names = [field.name for field in fields(cast(Any, record))]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**arguments: Any) -> None:
            values = {name: arguments.pop(name) for name in names if name in arguments}
            given = {name: value for name, value in values.items() if value is not None}
            command(**{name: record(**given)}, **arguments)

        return call

    return decorate


def combine(*options: Decorator[Any]) -> Decorator[Any]:
    """Return one decorator for several options, in this order in the help."""

    def add(command: AnyCommand) -> AnyCommand:
        for option in reversed(options):
            command = option(command)
        return command

    return add


class Count(click.IntRange):
    """A number in a range, which messages call a number."""

    name = "number"


def format_choices(names: Sequence[str]) -> str:
    """Return `a, b or c`."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


library_option = click.option(
    "--library",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="CLEW_LIBRARY",
    default=default_library,
    show_default="a folder per user",
    show_envvar=True,
    help="Use the library in this folder.",
)


class RepeatableOption(click.Option):
    """An option that can be repeated; its environment variable has one value, which may contain spaces."""

    def value_from_envvar(self, ctx: click.Context) -> tuple[str, ...] | None:
        """Return the value of the variable as the only one."""
        value = self.resolve_envvar_value(ctx)
        return None if value is None else (value,)


libraries_option = click.option(
    "--library",
    "libraries",
    cls=RepeatableOption,
    multiple=True,
    metavar="DIRECTORY|URL",
    envvar="CLEW_LIBRARY",
    default=lambda: (str(default_library()),),
    callback=lambda _context, _option, places: tuple(distinct_libraries(places)),
    show_default="a folder per user",
    show_envvar=True,
    help="Use the library in this folder, or the one that `clew serve` has at this address. Repeatable: "
    "search several as one.",
)


def complete_tags(context: click.Context, parameter: click.Parameter, start: str) -> list[str]:
    """Return the tags of the library that begin with a text, for the completion of a shell."""
    with suppress(ClewError, OSError), _library_of(context) as library:
        return [tag for tag in library.tags() if tag.startswith(start)]
    return []


def complete_words(context: click.Context, parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Return what completes a word of a query: @names, the values of kind: and tag:, else files."""
    key, colon, value = start.rpartition(":")
    if start.startswith("@"):
        with suppress(ClewError, OSError), _library_of(context) as library:
            names = [*(concept.name for concept in library.concepts()), *library.saved_searches()]
            return [CompletionItem(f"@{name}") for name in sorted(names) if name.startswith(start[1:])]
        return []
    if key == "kind":
        return [CompletionItem(f"kind:{kind}") for kind in KINDS if kind.startswith(value)]
    if key == "tag":
        tags = complete_tags(context, parameter, value)
        return [CompletionItem(f'tag:"{tag}"' if " " in tag else f"tag:{tag}") for tag in tags]
    return [] if colon else [CompletionItem(start, type="file")]


def _library_of(context: click.Context) -> "Library":
    from retrieval.library import Library

    several = context.params.get("libraries") or (None,)
    return Library.open(context.params.get("library") or several[0] or default_library())


def milvus_token() -> str | None:
    """Return the token of the Milvus server, which only the environment has."""
    return os.environ.get("CLEW_MILVUS_TOKEN") or None


_filter = option_group("Filter")
filter_options = combine(
    _filter(
        "--kind",
        type=click.Choice(KINDS),
        metavar="KIND",
        multiple=True,
        help=f"Return only this kind: {format_choices(KINDS)}. Repeatable.",
    ),
    _filter(
        "--under",
        metavar="FOLDER",
        multiple=True,
        help="Return only files in this folder: an absolute path, ./here, or a folder name. Repeatable: "
        "files in any of them.",
    ),
    _filter(
        "--date",
        metavar="DATES",
        help="Return only files of this period: 2022, 2022..2024, 2022-06.., July 2022, yesterday or last "
        "summer.",
    ),
    _filter("--after", metavar="TIME", help="Return only files from this time on: 2021, 2021-06-30."),
    _filter("--before", metavar="TIME", help="Return only files from before this time."),
    _filter(
        "--camera",
        metavar="NAME",
        multiple=True,
        help='Return only images by this camera: part of its name, or "Canon*". Repeatable: any of them.',
    ),
    _filter(
        "--lens",
        metavar="NAME",
        multiple=True,
        help="Return only images with this lens. Repeatable: any of them.",
    ),
    _filter(
        "--near",
        metavar="PLACE",
        help="Return only images taken near a latitude and longitude: 48.85,2.35 (within 1 km) or "
        "48.85,2.35,5km.",
    ),
    _filter(
        "--tag",
        metavar="NAME",
        shell_complete=complete_tags,
        multiple=True,
        help="Return only hits with this keyword or label. Repeatable: all of them.",
    ),
    _filter(
        "--rating", metavar="STARS", help="Return only images with at least this rating, 0 to 5, or 2..4."
    ),
    _filter("--size", metavar="SIZE", help="Return only images of at least this size: 1000x800 or 2MP."),
    _filter(
        "--orientation",
        type=click.Choice(ORIENTATIONS),
        metavar="NAME",
        help=f"Return only images of this orientation: {format_choices(ORIENTATIONS)}.",
    ),
)

_result = option_group("Result")
result_options = combine(
    _result(
        "-k",
        "--top-k",
        "--count",
        "count",
        default=10,
        show_default=True,
        type=Count(1),
        metavar="N",
        help="Return at most this many hits.",
    ),
    _result(
        "--sort",
        type=click.Choice(SORT_ORDERS),
        metavar="ORDER",
        default="score",
        show_default=True,
        help=f"Sort the best hits by {format_choices(SORT_ORDERS)}; they remain the same hits. "
        "Without a query, list all files in this order; score is newest first.",
    ),
    _result(
        "--diversity",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        metavar="SHARE",
        help="Prefer hits that differ from those above them: 0.3 is moderate, 1 ignores the score.",
    ),
    _result(
        "--group",
        is_flag=True,
        help="Return copies, near-duplicates, bursts, pairs of raw and JPEG, and frames of one video as one "
        "hit: the best of them, with a count.",
    ),
)

_output = option_group("Output")
output_options = combine(
    _output("--json", "output_format", flag_value="json", help="Write one JSON array."),
    _output("--nl", "output_format", flag_value="nl", help="Write one JSON object per line."),
    _output("--csv", "output_format", flag_value="csv", help="Write CSV with a header."),
    _output(
        "--paths",
        "output_format",
        flag_value="paths",
        help="Write each path on this machine once; for a group only that of its best file.",
    ),
    _output("-0", "output_format", flag_value="null", help="Write paths separated by NUL, for xargs -0."),
    _output("--preview", is_flag=True, help="Show pictures in the terminal."),
    _output("--open", "open_rank", type=Count(1), metavar="N", help="Open the file of hit N in its program."),
)
