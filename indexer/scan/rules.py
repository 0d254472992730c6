"""Include and exclude rules of a root."""

import os
import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import NamedTuple

# Folders with copies and temporary files of other programs. Names with a leading dot are hidden.
IGNORED_FOLDERS = frozenset(
    name.encode()
    for name in (
        *("node_modules", "__pycache__", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"),
        *("System Volume Information", "lost+found"),
    )
)


class ScanOptions(NamedTuple):
    """Options of a root, stored with it."""

    exclude: Sequence[str] = ()  # patterns of names, or of paths under the root
    hidden: bool = False  # include hidden files and folders
    mount: bool = False  # the root was a mount point; if it is empty, its drive is disconnected
    archives: bool = False  # include the files in archives


def is_included(options: ScanOptions, path: bytes) -> bool:
    """Return True if neither a path under a root nor a folder above it is excluded."""
    return inclusion_filter(options)(path)


def inclusion_filter(options: ScanOptions) -> Callable[[bytes], bool]:
    """Return `is_included` for one set of options, with compiled patterns."""
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
    """Compile the exclude patterns of a root."""
    return [re.compile(translate(pattern.rstrip("/"))) for pattern in options.exclude]


def matches_any_pattern(path: bytes, patterns: list[re.Pattern[str]]) -> bool:
    """Return True if a pattern matches the name or the path under the root."""
    text = os.fsdecode(path)
    name = text.rpartition("/")[2]
    return any(pattern.match(name) or pattern.match(text) for pattern in patterns)
