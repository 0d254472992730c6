"""Include and exclude rules of a root."""

import os
import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import NamedTuple
from unicodedata import normalize

# Folders with copies and temporary files of other programs. Names with a leading dot are hidden.
IGNORED_FOLDERS = frozenset(
    name.encode()
    for name in (
        *("node_modules", "__pycache__", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"),
        *("System Volume Information", "lost+found"),
    )
)
LOCK_FILE_PREFIX = b"~$"  # of Office, while a document is open


class ScanOptions(NamedTuple):
    """Options of a root, stored with it."""

    exclude: Sequence[str] = ()  # patterns of names or of paths under the root; with a first slash of paths
    hidden: bool = False  # include hidden files and folders
    mount: bool = False  # the root was a mount point; if it is empty, its drive is disconnected
    archives: bool = False  # include the files in archives


def is_ignored(name: bytes) -> bool:
    """Return True for the name of a folder or a file that other programs use for themselves."""
    return name in IGNORED_FOLDERS or name.startswith(LOCK_FILE_PREFIX)


def is_included(options: ScanOptions, path: bytes) -> bool:
    """Return True if neither a path under a root nor a folder above it is excluded."""
    return inclusion_filter(options)(path)


def inclusion_filter(options: ScanOptions, used: set[str] | None = None) -> Callable[[bytes], bool]:
    """Return `is_included` for one set of options, with compiled patterns; see ExcludePatterns for `used`."""
    excluded = ExcludePatterns(options.exclude, used)

    def passes(path: bytes) -> bool:
        parts = path.split(b"/")
        return not any(
            is_ignored(part)
            or (part.startswith(b".") and not options.hidden)
            or excluded.match(b"/".join(parts[: n + 1]))
            for n, part in enumerate(parts)
        )

    return passes


class ExcludePatterns:
    """Compiled exclude patterns of a root. A name that contains wildcards also matches itself."""

    def __init__(self, patterns: Sequence[str], used: set[str] | None = None) -> None:
        """Compile patterns; those that match are added to `used`."""
        self.used = set() if used is None else used
        self._compiled = [(text, *_compile(text)) for text in patterns]

    def match(self, path: bytes) -> bool:
        """Return True if a pattern matches the name or the path under the root."""
        if not self._compiled:
            return False
        text = normalize("NFC", os.fsdecode(path))
        name = text.rpartition("/")[2]
        matching = [
            pattern
            for pattern, regex, is_anchored in self._compiled
            if regex.match(text) or (not is_anchored and regex.match(name))
        ]
        self.used.update(matching)
        return bool(matching)


def _compile(pattern: str) -> tuple[re.Pattern[str], bool]:
    """Return a pattern as a regular expression, and whether it matches only complete paths."""
    text = normalize("NFC", pattern).strip("/")
    return re.compile(f"{translate(text)}|{re.escape(text)}\\Z"), pattern.startswith("/")
