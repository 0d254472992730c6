"""Include and exclude rules of a root."""

import os
import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import NamedTuple

# Folders that hold other programs' copies and leftovers; hidden names are left out by their dot.
IGNORED_FOLDERS = frozenset(
    name.encode()
    for name in (
        *("node_modules", "__pycache__", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"),
        *("System Volume Information", "lost+found"),
    )
)


class ScanOptions(NamedTuple):
    """How a root is scanned; remembered with it. `mount` says that it was a mount point."""

    exclude: Sequence[str] = ()
    hidden: bool = False
    mount: bool = False
    archives: bool = False


def is_included(options: ScanOptions, path: bytes) -> bool:
    """Say whether a folder under a root is walked: neither it nor a folder above it is left out."""
    return inclusion_filter(options)(path)


def inclusion_filter(options: ScanOptions) -> Callable[[bytes], bool]:
    """Return what says of a path under a root whether neither it nor a folder above it is left out."""
    excluded = exclude_patterns(options)

    def passes(path: bytes) -> bool:
        parts = path.split(b"/")
        return not any(
            part in IGNORED_FOLDERS
            or (part.startswith(b".") and not options.hidden)
            or (excluded and matches_any_pattern(b"/".join(parts[: n + 1]), excluded))
            for n, part in enumerate(parts)
        )

    return passes


def exclude_patterns(options: ScanOptions) -> list[re.Pattern[str]]:
    """Compile the patterns of a root."""
    return [re.compile(translate(pattern.rstrip("/"))) for pattern in options.exclude]


def matches_any_pattern(path: bytes, patterns: list[re.Pattern[str]]) -> bool:
    """Say whether a pattern fits the name or the path under the root."""
    whole = os.fsdecode(path)
    name = whole.rpartition("/")[2]
    return any(pattern.match(name) or pattern.match(whole) for pattern in patterns)
