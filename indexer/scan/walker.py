"""Walk a folder in path order and yield the files that have a decoder."""

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from indexer.decode.text.caption_rows import HEADER_BYTES, has_captions
from indexer.decode.text.records import TABLE_SUFFIXES
from indexer.scan.diff import UnchangedArchive, UncheckedPaths
from indexer.scan.links import FollowedLinks
from indexer.scan.mounts import Mount, is_mount, mount_points
from indexer.scan.rules import ExcludePatterns, ScanOptions, is_ignored
from indexer.scan.sidecars import assign_decoders, name_stem
from indexer.scan.targets import ScanTarget
from indexer.types import FileEntry, file_times
from retrieval.catalog.schema import (
    CATALOG_FILE,
    DECODERS_OF_OTHER_FILES,
    INDEX_FOLDER,
    LIBRARY_FILE_NAMES,
)
from retrieval.errors import MediaError
from retrieval.media.archives.archive import archive_suffix
from retrieval.media.regular_file import open_regular_file

# Errors of a link to nothing or to itself: it has no file.
BROKEN_LINK_ERRORS = frozenset((errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR))


# FileEntry(...) calls a function in Python, which takes twice as long.
_file_entry: Callable[[tuple[bytes, int, int, str, bytes | None, int | None]], FileEntry] = partial(
    tuple.__new__, FileEntry
)


class Archive(NamedTuple):
    """An archive on disk."""

    path: bytes
    size: int
    mtime: int  # nanoseconds
    ctime: int


class Folder(NamedTuple):
    """A folder to walk."""

    path: bytes
    is_link: bool
    parent_device: int = -1


ListArchive = Callable[[Archive], Sequence[FileEntry | UnchangedArchive]]


@dataclass(slots=True)
class ScanIssues(UncheckedPaths):
    """Files that a walk skipped."""

    skipped: Counter[str] = field(default_factory=Counter)  # suffix without a decoder -> files
    mounts: list[Mount] = field(default_factory=list)
    dangling_links: list[bytes] = field(default_factory=list)
    used_patterns: set[str] = field(default_factory=set)  # exclude patterns that match
    links: dict[bytes, bytes] = field(default_factory=dict)  # real path of a folder -> link that is followed
    is_behind_other_link: bool = False  # the folder of the target is walked at another path


def walk(
    target: ScanTarget, issues: ScanIssues, list_archive: ListArchive | None = None
) -> Iterator[FileEntry | UnchangedArchive]:
    """Yield the files of a target that have a decoder, in the byte order of their paths.

    Links to folders are followed as FollowedLinks says: folders inside the root are walked at their own
    paths. Nested roots are skipped. `list_archive` returns the files of an archive, which is walked as a
    folder; without it archives are skipped.
    """
    return chain.from_iterable(walk_runs(target, issues, list_archive))


def walk_runs(
    target: ScanTarget, issues: ScanIssues, list_archive: ListArchive | None = None
) -> Iterator[Sequence[FileEntry | UnchangedArchive]]:
    """Yield the files of `walk` in runs: those of a folder or an archive that follow each other."""
    root = target.root_path
    excluded = ExcludePatterns(target.options.exclude, issues.used_patterns)
    real_root, links = os.path.realpath(root), FollowedLinks(target)
    issues.links = links.found
    points = mount_points() if target.recursive else frozenset()
    issues.is_behind_other_link = not links.follows_parents()
    start = [] if issues.is_behind_other_link else [Folder(target.subpath, False)]
    stack: list[Iterator[list[FileEntry] | Archive | Folder]] = [iter(start)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, list):
            yield step
        elif isinstance(step, Archive):
            try:
                yield () if list_archive is None else list_archive(step)
            except OSError:
                issues.unreadable.append(step.path)
        else:
            folder, is_link, parent_device = step
            if folder in target.nested_roots or not (target.recursive or folder == target.subpath):
                continue
            if not is_link or links.follows(folder):
                device = _device(os.path.join(root, folder))
                if is_link or device != parent_device or os.path.join(real_root, folder) in points:
                    is_link = os.path.islink(os.path.join(root, folder)) if folder else False
                    issues.mounts += [Mount(folder, is_link)] * is_mount(os.path.join(root, folder), points)
                stack.append(_join_files(_list_folder(target, folder, device, excluded, issues)))


def list_files(folder: bytes, subpath: bytes = b"") -> Iterator[FileEntry]:
    """Yield the files of a folder, or of a part of it, with the default options and without archives."""
    entries = walk(ScanTarget(0, folder, ScanOptions(), subpath), ScanIssues())
    return (entry for entry in entries if isinstance(entry, FileEntry))


def _list_folder(
    target: ScanTarget, folder: bytes, device: int, excluded: ExcludePatterns, issues: ScanIssues
) -> list[FileEntry | Archive | Folder]:
    """Return the files and folders of a folder in the byte order of their paths.

    Folders and archives are sorted as if their names ended with a slash, so that the walk has the order of
    SQLite's index.
    """
    prefix = folder + b"/" if folder else b""
    options, stems = target.options, target.name_stems
    try:
        with os.scandir(os.path.join(target.root_path, folder)) as listing:
            entries = {e.name: e for e in listing if options.hidden or not e.name.startswith(b".")}
            if stems:
                entries = {name: entry for name, entry in entries.items() if name_stem(name) in stems}
    except OSError:
        issues.unreadable.append(folder)
        return []
    if entries.keys() >= {CATALOG_FILE.encode(), INDEX_FOLDER.encode()}:
        entries = {
            name: entry for name, entry in entries.items() if os.fsdecode(name) not in LIBRARY_FILE_NAMES
        }
    rows: list[tuple[bytes, FileEntry | Archive | Folder]] = []
    files: dict[bytes, os.DirEntry[bytes]] = {}
    for name, entry in entries.items():
        if is_ignored(name) or (options.exclude and excluded.match(prefix + name)):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            if error.errno not in BROKEN_LINK_ERRORS:
                issues.unreadable.append(prefix + name)
        else:
            if is_folder:
                rows.append((name + b"/", Folder(prefix + name, entry.is_symlink(), device)))
            else:
                files[name] = entry
    rows += _file_entries(prefix, files, options, issues)
    rows.sort(key=itemgetter(0))
    return [row for _, row in rows]


def _join_files(
    rows: Iterable[FileEntry | Archive | Folder],
) -> Iterator[list[FileEntry] | Archive | Folder]:
    """Yield files that follow each other as one list, and all else as it is."""
    files: list[FileEntry] = []
    for row in rows:
        if isinstance(row, FileEntry):
            files.append(row)
            continue
        if files:
            yield files
            files = []
        yield row
    if files:
        yield files


def _file_entries(
    prefix: bytes, entries: dict[bytes, os.DirEntry[bytes]], options: ScanOptions, issues: ScanIssues
) -> Iterator[tuple[bytes, FileEntry | Archive]]:
    """Yield (sort key, entry) of the regular files that have a decoder, and of archives if enabled."""
    decoders = assign_decoders(list(entries))
    for name, entry in entries.items():
        decoder, sidecar_of = decoders.get(name, ("", None))
        if not decoder:
            archive = archive_suffix(name)
            if archive is None or not options.archives:
                # It may lead to a folder on a drive that is disconnected.
                issues.dangling_links += [prefix + name] * _is_dangling(entry)
                issues.skipped[archive or _suffix(name) or "no suffix"] += 1
                continue
        try:
            status = entry.stat()
        except OSError as error:
            issues.unreadable += [prefix + name] * (error.errno not in BROKEN_LINK_ERRORS)
            issues.dangling_links += [prefix + name] * _is_dangling(entry)
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        mtime, ctime = file_times(status)
        if not decoder:
            yield name + b"/", Archive(prefix + name, status.st_size, mtime, ctime)
            continue
        if decoder in DECODERS_OF_OTHER_FILES and not _is_caption_table(entry.path):
            if _suffix(name) not in TABLE_SUFFIXES:
                issues.skipped[_suffix(name)] += 1
                continue
            decoder = "text"
        sidecar_path = None if sidecar_of is None else prefix + sidecar_of
        yield name, _file_entry((prefix + name, status.st_size, mtime, decoder, sidecar_path, ctime))


def _is_dangling(entry: os.DirEntry[bytes]) -> bool:
    """Return True for a link that leads nowhere."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def _device(folder: bytes) -> int:
    """Return the number of the device that a folder is on; -1 if it cannot be read."""
    try:
        return os.stat(folder).st_dev
    except OSError:
        return -1


def _is_caption_table(path: bytes) -> bool:
    """Return True if a table has captions of images, or cannot be opened: its decoder reports the reason."""
    try:
        with open_regular_file(path) as file:
            start = file.read(HEADER_BYTES)
    except (OSError, MediaError):
        return True
    return has_captions(start, _suffix(path))


def _suffix(name: bytes) -> str:
    return os.path.splitext(name)[1].lower().decode("utf-8", "replace")
