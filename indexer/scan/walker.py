"""Walk a folder in the order of its paths: what is there that a decoder can read."""

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from indexer.decode.text.caption_rows import BEGINNING, has_captions
from indexer.scan.rules import LEFT_OUT, Options, _matches, _patterns
from indexer.scan.sidecars import _readers, head
from indexer.types import Found, nanoseconds
from retrieval.catalog.schema import CATALOGUE, INDEXES, OWN_NAMES
from retrieval.media.archives.archive import suffix_of

# A link that leads to nothing, or to itself: there is nothing to look at.
NOWHERE = frozenset((errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR))


class Archive(NamedTuple):
    """A file on disk that holds others."""

    path: bytes
    size: int
    mtime: int


@dataclass(slots=True)
class Walked:
    """What a walk passed over: suffixes with no decoder, and paths that could not be looked at."""

    skipped: Counter[str] = field(default_factory=Counter)
    unread: list[bytes] = field(default_factory=list)


def walk(
    root: bytes,
    options: Options,
    walked: Walked,
    below: bytes = b"",
    apart: Collection[bytes] = (),
    inside: Callable[[Archive], Iterable[Found]] | None = None,
    deep: bool = True,
    heads: Collection[bytes] = (),
) -> Iterator[Found]:
    """Yield the readable files below `root`/`below` in the byte order of their paths.

    Those of its folders too, unless it is not `deep`; of these `heads` alone, if any are given. A link to a
    folder is followed once, and only out of the root: what is inside is found in its place. Folders in
    `apart` are roots of their own and passed over. `inside` tells what an archive holds, which comes as if it
    were a folder; without it archives are passed over.
    """
    excluded = _patterns(options)
    real, followed = os.path.realpath(root), set[tuple[int, int]]()
    stack: list[Iterator[Found | Archive | tuple[bytes, bool]]] = [iter([(below, False)])]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, Found):
            yield step
        elif isinstance(step, Archive):
            try:
                yield from () if inside is None else inside(step)
            except OSError:
                walked.unread.append(step.path)
        else:
            folder, linked = step
            if folder in apart or not (deep or folder == below):
                continue
            if not linked or not _is_loop(os.path.join(root, folder), real, followed):
                stack.append(iter(_list(root, folder, options, excluded, walked, heads)))


def _list(
    root: bytes,
    folder: bytes,
    options: Options,
    excluded: list[re.Pattern[str]],
    walked: Walked,
    heads: Collection[bytes] = (),
) -> list["Found | Archive | tuple[bytes, bool]"]:
    """Return the files, and (path, is it a link) of the folders, of one folder, in byte order of path.

    A folder or an archive sorts as if it ended in a slash, so that the whole walk comes in the order of
    SQLite's index.
    """
    prefix = folder + b"/" if folder else b""
    try:
        with os.scandir(os.path.join(root, folder)) as listing:
            entries = {e.name: e for e in listing if options.hidden or not e.name.startswith(b".")}
            if heads:
                entries = {name: entry for name, entry in entries.items() if head(name) in heads}
    except OSError:
        walked.unread.append(folder)
        return []
    if entries.keys() >= {CATALOGUE.encode(), INDEXES.encode()}:
        entries = {name: entry for name, entry in entries.items() if os.fsdecode(name) not in OWN_NAMES}
    rows: list[tuple[bytes, Found | Archive | tuple[bytes, bool]]] = []
    files: dict[bytes, os.DirEntry[bytes]] = {}
    for name, entry in entries.items():
        if name in LEFT_OUT or (excluded and _matches(prefix + name, excluded)):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            if error.errno not in NOWHERE:
                walked.unread.append(prefix + name)
        else:
            if is_folder:
                rows.append((name + b"/", (prefix + name, entry.is_symlink())))
            else:
                files[name] = entry
    rows += _files(prefix, files, options.archives, walked)
    rows.sort(key=lambda row: row[0])
    return [row for _, row in rows]


def _files(
    prefix: bytes, entries: dict[bytes, os.DirEntry[bytes]], archives: bool, walked: Walked
) -> Iterator[tuple[bytes, Found | Archive]]:
    """Yield (name, found) of the regular files that a decoder can read, and of `archives` if asked for."""
    readers = _readers(list(entries))
    for name, entry in entries.items():
        reader, picture = readers.get(name, ("", None))
        archive = None if reader else suffix_of(name)
        holds = archives and archive is not None
        if not reader and not holds:
            walked.skipped[archive or _suffix(name) or "no suffix"] += 1
            continue
        try:
            status = entry.stat()
        except OSError as error:
            if error.errno not in NOWHERE:
                walked.unread.append(prefix + name)
            continue
        if holds and stat.S_ISREG(status.st_mode):
            yield name + b"/", Archive(prefix + name, status.st_size, nanoseconds(status))
        elif stat.S_ISREG(status.st_mode):
            if reader == "table" and not _has_captions(entry.path):
                walked.skipped[_suffix(name)] += 1
                continue
            found = Found(
                prefix + name,
                status.st_size,
                nanoseconds(status),
                reader,
                None if picture is None else prefix + picture,
            )
            yield name, found


def _has_captions(path: bytes) -> bool:
    """Say whether a table names captions, as most are of other things; so of one that cannot be looked at."""
    try:
        with open(path, "rb") as file:
            start = file.read(BEGINNING)
    except OSError:
        return True  # and why will be said
    return has_captions(start, _suffix(path))


def _suffix(name: bytes) -> str:
    return os.path.splitext(name)[1].lower().decode("utf-8", "replace")


def _is_loop(folder: bytes, real: bytes, followed: set[tuple[int, int]]) -> bool:
    """Say whether this link leads into the root, above it, or where another link has led."""
    target = os.path.realpath(folder)
    if os.path.commonpath((target, real)) in (real, target):
        return True
    try:
        status = os.stat(folder)
    except OSError:
        return True
    key = (status.st_dev, status.st_ino)
    seen = key in followed
    followed.add(key)
    return seen
