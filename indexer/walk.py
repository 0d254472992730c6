"""Walk a folder in the order of its paths: what is there that a decoder can read."""

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import NamedTuple

from indexer.decoders import CAPTION_SUFFIXES, READERS
from indexer.tables import BEGINNING, has_captions
from retrieval.archives import suffix_of
from retrieval.schema import CATALOGUE, INDEXES, OWN_NAMES

# Folders that hold other programs' copies and leftovers; hidden names are left out by their dot.
LEFT_OUT = frozenset(
    name.encode()
    for name in (
        *("node_modules", "__pycache__", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"),
        *("System Volume Information", "lost+found"),
    )
)


# A link that leads to nothing, or to itself: there is nothing to look at.
NOWHERE = frozenset((errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR))

TAGS = 2  # of a name of subtitles behind that of the video: language, and "forced" or "sdh"


class Found(NamedTuple):
    """A file on disk that a decoder can read; `path` is under the root, `mtime` in nanoseconds."""

    path: bytes
    size: int
    mtime: int
    reader: str
    picture: bytes | None = None


class Archive(NamedTuple):
    """A file on disk that holds others."""

    path: bytes
    size: int
    mtime: int


class Options(NamedTuple):
    """How a root is scanned; remembered with it. `mount` says that it was a mount point."""

    exclude: Sequence[str] = ()
    hidden: bool = False
    mount: bool = False
    archives: bool = False


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


def head(name: bytes) -> bytes:
    """Return what the names of a picture and of its captions have in common: all before the first dot."""
    return name[:1] + name[1:].partition(b".")[0]


def is_readable(name: bytes) -> bool:
    """Say whether a file of this name may be read by a decoder, beside a picture at least."""
    suffix = name[name.rfind(b".") :].lower()
    return suffix in _PLAIN or suffix in _BESIDE


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


def _readers(names: list[bytes]) -> dict[bytes, tuple[str, bytes | None]]:
    """Say which decoder reads which name, and of a caption which picture it stands beside.

    `photo.txt` or `photo.jpg.txt` is a caption of `photo.jpg`; a `.json` only where no `.txt` is. Of
    subtitles the picture is their video.
    """
    readers: dict[bytes, tuple[str, bytes | None]] = {}
    beside: list[tuple[bytes, bytes, str]] = []
    for name in names:
        kind = name[name.rfind(b".") :].lower()
        if kind in _PLAIN:
            readers[name] = _PLAIN[kind]
        if kind in _BESIDE:
            beside.append((name, name[: -len(kind)], kind.decode()))
    _join_subtitles(readers)
    if not beside:
        return readers
    pictures: dict[bytes, bytes] = {}
    for name in sorted(name for name, (reader, _) in readers.items() if reader == "picture"):
        pictures[name] = name
        pictures.setdefault(os.path.splitext(name)[0], name)
    captioned = {stem for _, stem, suffix in beside if suffix == ".txt"}
    for name, stem, suffix in beside:
        if stem in pictures and (suffix != ".json" or stem not in captioned):
            readers[name] = ("caption", pictures[stem])
        elif stem in pictures:
            readers.pop(name, None)
    return readers


def readers_inside(names: Iterable[bytes]) -> Iterator[tuple[bytes, str, bytes | None]]:
    """Say which decoder reads which file of an archive, and of a caption which picture, folder by folder."""
    folders: dict[bytes, list[bytes]] = {}
    for name in names:
        folder, slash, last = name.rpartition(b"/")
        folders.setdefault(folder + slash, []).append(last)
    for prefix, lasts in folders.items():
        for last, (reader, picture) in _readers(lasts).items():
            yield prefix + last, reader, None if picture is None else prefix + picture


def _join_subtitles(readers: dict[bytes, tuple[str, bytes | None]]) -> None:
    """Give subtitles their video: `clip.srt`, `clip.en.srt`, `clip.en.forced.srt` are of `clip.mp4`."""
    subtitles = [name for name, (reader, _) in readers.items() if reader == "subtitles"]
    if not subtitles:
        return
    videos: dict[bytes, bytes] = {}
    for name in sorted(name for name, (reader, _) in readers.items() if reader == "video"):
        videos[name] = name
        videos.setdefault(os.path.splitext(name)[0], name)
    for name in subtitles:
        stem = os.path.splitext(name)[0]
        for _ in range(TAGS + 1):
            if stem in videos:
                readers[name] = ("subtitles", videos[stem])
                break
            stem = os.path.splitext(stem)[0]


_PLAIN = {suffix.encode(): (reader, None) for suffix, reader in READERS.items()}
_BESIDE = frozenset(suffix.encode() for suffix in CAPTION_SUFFIXES)


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


def _matches(path: bytes, excluded: list[re.Pattern[str]]) -> bool:
    """Say whether a pattern fits the name or the path under the root."""
    whole = os.fsdecode(path)
    name = whole.rpartition("/")[2]
    return any(pattern.match(name) or pattern.match(whole) for pattern in excluded)


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


def nanoseconds(status: os.stat_result) -> int:
    """Return when a file was written, within what SQLite can hold: to the year 2262."""
    when = status.st_mtime_ns
    return when if -(2**63) <= when < 2**63 else 2**63 - 1
