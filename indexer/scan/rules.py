"""Include and exclude rules of a root."""

import os
import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import NamedTuple

# Folders that hold other programs' copies and leftovers; hidden names are left out by their dot.
LEFT_OUT = frozenset(
    name.encode()
    for name in (
        *("node_modules", "__pycache__", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"),
        *("System Volume Information", "lost+found"),
    )
)


class Options(NamedTuple):
    """How a root is scanned; remembered with it. `mount` says that it was a mount point."""

    exclude: Sequence[str] = ()
    hidden: bool = False
    mount: bool = False
    archives: bool = False


def passes(options: Options, path: bytes) -> bool:
    """Say whether a folder under a root is walked: neither it nor a folder above it is left out."""
    return passing(options)(path)


def passing(options: Options) -> Callable[[bytes], bool]:
    """Return what says of a path under a root whether neither it nor a folder above it is left out."""
    excluded = _patterns(options)

    def passes(path: bytes) -> bool:
        parts = path.split(b"/")
        return not any(
            part in LEFT_OUT
            or (part.startswith(b".") and not options.hidden)
            or (excluded and _matches(b"/".join(parts[: n + 1]), excluded))
            for n, part in enumerate(parts)
        )

    return passes


def _patterns(options: Options) -> list[re.Pattern[str]]:
    return [re.compile(translate(pattern.rstrip("/"))) for pattern in options.exclude]


def _matches(path: bytes, excluded: list[re.Pattern[str]]) -> bool:
    """Say whether a pattern fits the name or the path under the root."""
    whole = os.fsdecode(path)
    name = whole.rpartition("/")[2]
    return any(pattern.match(name) or pattern.match(whole) for pattern in excluded)
