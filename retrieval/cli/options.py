"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from retrieval.system import default_library
from retrieval.types import KINDS, ORIENTATIONS, SORT_ORDERS

Command = TypeVar("Command", bound=Callable[..., Any])


def library_option(command: Command) -> Command:
    """Add --library."""
    add = click.option(
        "--library",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="CLEW_LIBRARY",
        default=default_library,
        help="The library's folder. [env: CLEW_LIBRARY; default: per user]",
    )
    return add(command)


def search_options(command: Command) -> Command:
    """Add the options that narrow, count and shape an answer."""
    for option in reversed(
        (
            click.option(
                "--kind", type=click.Choice(KINDS), multiple=True, help="Only this kind; may be given again."
            ),
            click.option(
                "--under",
                metavar="FOLDER",
                multiple=True,
                help="Only in this folder: absolute, ./here, or a name; given again, in any of them.",
            ),
            click.option(
                "--after", metavar="TIME", help="Only from this time on: 2021, 2021-06, 2021-06-30."
            ),
            click.option("--before", metavar="TIME", help="Only before this time."),
            click.option(
                "--date", metavar="TIMES", help="Only from these times: 2022, 2022..2024, 2022-06.."
            ),
            click.option(
                "--camera",
                metavar="NAME",
                multiple=True,
                help='Only by this camera: a part of its name, or "Canon*".',
            ),
            click.option("--lens", metavar="NAME", multiple=True, help="Only by this lens."),
            click.option(
                "--near", metavar="PLACE", help="Only near here: 48.85,2.35,5km; without a radius 1 km."
            ),
            click.option(
                "--tag",
                metavar="NAME",
                multiple=True,
                help="Only with this keyword or label; given again, with all.",
            ),
            click.option("--rating", metavar="STARS", help="Only with so many stars or more."),
            click.option("--size", metavar="SIZE", help="Only so large or larger: 1000x800 or 2MP."),
            click.option(
                "--orientation", type=click.Choice(ORIENTATIONS), help="Only pictures of this shape."
            ),
            click.option(
                "-k",
                "--top-k",
                "--count",
                "count",
                default=10,
                show_default=True,
                type=click.IntRange(1),
                help="How many hits.",
            ),
            click.option(
                "--sort",
                type=click.Choice(SORT_ORDERS),
                default="score",
                show_default=True,
                help="Order of the best hits; which ones those are stays the same.",
            ),
            click.option(
                "--diversity",
                type=click.FloatRange(0, 1),
                default=0.0,
                metavar="SHARE",
                help="Prefer hits unlike those before them: 0 not at all, 0.3 somewhat, 1 only that.",
            ),
            click.option(
                "--group",
                is_flag=True,
                help="Copies, near-duplicates, bursts, pairs of raw and JPEG, and frames as one hit with "
                "a count; the best of them leads.",
            ),
            click.option("--json", "shape", flag_value="json", help="One JSON array."),
            click.option("--nl", "shape", flag_value="nl", help="One JSON object a line."),
            click.option("--csv", "shape", flag_value="csv", help="CSV with a header."),
            click.option(
                "--paths", "shape", flag_value="paths", help="Paths only, each once; of a group the leader's."
            ),
            click.option("-0", "shape", flag_value="null", help="Paths ended by NUL, for xargs -0."),
            library_option,
        )
    ):
        command = option(command)
    return command
