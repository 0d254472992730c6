"""Walk a folder in the order of its paths: what is there that a decoder can read."""

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from indexer.decode.registry import describes_other_files
from indexer.decode.text.caption_rows import HEADER_BYTES, has_captions
from indexer.scan.rules import IGNORED_FOLDERS, ScanOptions, exclude_patterns, matches_any_pattern
from indexer.scan.sidecars import assign_decoders, name_stem
from indexer.types import FileEntry, mtime_nanoseconds
from retrieval.catalog.schema import CATALOG_FILE, INDEX_FOLDER, LIBRARY_FILE_NAMES
from retrieval.media.archives.archive import archive_suffix

# A link that leads to nothing, or to itself: there is nothing to look at.
BROKEN_LINK_ERRORS = frozenset((errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR))


class Archive(NamedTuple):
    """A file on disk that holds others."""

    path: bytes
    size: int
    mtime: int


@dataclass(slots=True)
class ScanIssues:
    """What a walk passed over: suffixes with no decoder, and paths that could not be looked at."""

    skipped: Counter[str] = field(default_factory=Counter)
    unreadable: list[bytes] = field(default_factory=list)


def walk(
    root: bytes,
    options: ScanOptions,
    issues: ScanIssues,
    subpath: bytes = b"",
    nested_roots: Collection[bytes] = (),
    archive_entries: Callable[[Archive], Iterable[FileEntry]] | None = None,
    recursive: bool = True,
    name_stems: Collection[bytes] = (),
) -> Iterator[FileEntry]:
    """Yield the readable files below `root`/`below` in the byte order of their paths.

    Those of its folders too, unless it is not `deep`; of these `heads` alone, if any are given. A link to a
    folder is followed once, and only out of the root: what is inside is found in its place. Folders in
    `apart` are roots of their own and passed over. `inside` tells what an archive holds, which comes as if it
    were a folder; without it archives are passed over.
    """
    excluded = exclude_patterns(options)
    real, followed = os.path.realpath(root), set[tuple[int, int]]()
    stack: list[Iterator[FileEntry | Archive | tuple[bytes, bool]]] = [iter([(subpath, False)])]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, FileEntry):
            yield step
        elif isinstance(step, Archive):
            try:
                yield from () if archive_entries is None else archive_entries(step)
            except OSError:
                issues.unreadable.append(step.path)
        else:
            folder, linked = step
            if folder in nested_roots or not (recursive or folder == subpath):
                continue
            if not linked or not _is_loop(os.path.join(root, folder), real, followed):
                stack.append(iter(_list_folder(root, folder, options, excluded, issues, name_stems)))


def _list_folder(
    root: bytes,
    folder: bytes,
    options: ScanOptions,
    excluded: list[re.Pattern[str]],
    issues: ScanIssues,
    name_stems: Collection[bytes] = (),
) -> list["FileEntry | Archive | tuple[bytes, bool]"]:
    """Return the files, and (path, is it a link) of the folders, of one folder, in byte order of path.

    A folder or an archive sorts as if it ended in a slash, so that the whole walk comes in the order of
    SQLite's index.
    """
    prefix = folder + b"/" if folder else b""
    try:
        with os.scandir(os.path.join(root, folder)) as listing:
            entries = {e.name: e for e in listing if options.hidden or not e.name.startswith(b".")}
            if name_stems:
                entries = {name: entry for name, entry in entries.items() if name_stem(name) in name_stems}
    except OSError:
        issues.unreadable.append(folder)
        return []
    if entries.keys() >= {CATALOG_FILE.encode(), INDEX_FOLDER.encode()}:
        entries = {
            name: entry for name, entry in entries.items() if os.fsdecode(name) not in LIBRARY_FILE_NAMES
        }
    rows: list[tuple[bytes, FileEntry | Archive | tuple[bytes, bool]]] = []
    files: dict[bytes, os.DirEntry[bytes]] = {}
    for name, entry in entries.items():
        if name in IGNORED_FOLDERS or (excluded and matches_any_pattern(prefix + name, excluded)):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            if error.errno not in BROKEN_LINK_ERRORS:
                issues.unreadable.append(prefix + name)
        else:
            if is_folder:
                rows.append((name + b"/", (prefix + name, entry.is_symlink())))
            else:
                files[name] = entry
    rows += _file_entries(prefix, files, options.archives, issues)
    rows.sort(key=lambda row: row[0])
    return [row for _, row in rows]


def _file_entries(
    prefix: bytes, entries: dict[bytes, os.DirEntry[bytes]], archives: bool, issues: ScanIssues
) -> Iterator[tuple[bytes, FileEntry | Archive]]:
    """Yield (name, found) of the regular files that a decoder can read, and of `archives` if asked for."""
    readers = assign_decoders(list(entries))
    for name, entry in entries.items():
        reader, picture = readers.get(name, ("", None))
        archive = None if reader else archive_suffix(name)
        holds = archives and archive is not None
        if not reader and not holds:
            issues.skipped[archive or _suffix(name) or "no suffix"] += 1
            continue
        try:
            status = entry.stat()
        except OSError as error:
            if error.errno not in BROKEN_LINK_ERRORS:
                issues.unreadable.append(prefix + name)
            continue
        if holds and stat.S_ISREG(status.st_mode):
            yield name + b"/", Archive(prefix + name, status.st_size, mtime_nanoseconds(status))
        elif stat.S_ISREG(status.st_mode):
            if describes_other_files(reader) and not _is_caption_table(entry.path):
                issues.skipped[_suffix(name)] += 1
                continue
            found = FileEntry(
                prefix + name,
                status.st_size,
                mtime_nanoseconds(status),
                reader,
                None if picture is None else prefix + picture,
            )
            yield name, found


def _is_caption_table(path: bytes) -> bool:
    """Say whether a table names captions, as most are of other things; so of one that cannot be looked at."""
    try:
        with open(path, "rb") as file:
            start = file.read(HEADER_BYTES)
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
