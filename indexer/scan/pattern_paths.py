"""Resolve exclude patterns that are paths as a shell takes them."""

import os
from collections.abc import Sequence

from indexer.scan.targets import subpath_of


def merge_patterns(old: Sequence[str], new: Sequence[str], root: bytes) -> list[str]:
    """Return the old and new exclude patterns of a root; an empty pattern, or none, removes the old ones."""
    kept = [] if not new or "" in new else list(old)
    resolved = (resolve_pattern(pattern, root) for pattern in new if pattern)
    return list(dict.fromkeys([*kept, *(pattern for pattern in resolved if pattern is not None)]))


def patterns_below(patterns: Sequence[str], folder: bytes) -> list[str]:
    """Return the exclude patterns of a root as those of a folder in it, without those of other folders.

    Patterns with wildcards before the name of the folder ends are kept as they are.
    """
    prefix, kept = os.fsdecode(folder) + "/", list[str]()
    for pattern in patterns:
        path = pattern.lstrip("/")
        if path.startswith(prefix):
            kept.append("/" + path.removeprefix(prefix))
        elif not pattern.startswith("/") or any(sign in path for sign in "*?["):
            kept.append(pattern.removeprefix("/") if pattern.startswith("/") else pattern)
            kept += [path.removeprefix("*/")] * path.startswith("*/")
    return list(dict.fromkeys(kept))


def resolve_pattern(pattern: str, root: bytes) -> str | None:
    """Return a pattern relative to a root; None for a path that is not below it.

    Absolute paths, and paths that begin with . or ~, are paths as a shell takes them. Others with a slash are
    so only if they exist from the current folder, but not in the root.
    """
    text = os.path.expanduser(pattern) if pattern.startswith("~") else pattern
    is_path = text.startswith(("/", "./", "../")) or text in (".", "..")
    in_root = os.path.join(os.fsdecode(root), text.lstrip("/"))
    if not is_path and ("/" not in text.strip("/") or _exists(in_root) or not _exists(text)):
        return pattern
    absolute = os.path.abspath(text)
    real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
    for path, top in ((absolute, root), (real, os.path.realpath(root))):
        subpath = subpath_of(os.fsencode(path), top)
        if subpath is not None:
            return "/" + os.fsdecode(subpath)
    return text if not is_path or (text.startswith("/") and _exists(in_root)) else None


def _exists(pattern: str) -> bool:
    """Return True if the part of a path before its first wildcard exists, and is not empty."""
    parts = pattern.rstrip("/").split("/")
    count = next((n for n, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
    return os.path.lexists(pattern) or (count > 0 and os.path.lexists("/".join(parts[:count]) or "/"))
