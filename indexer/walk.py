"""Walk a folder in the order of its paths: what is there that a decoder can read."""

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import NamedTuple

from indexer.decoders import CAPTION_SUFFIXES, READERS
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


class Options(NamedTuple):
    """How a root is scanned; remembered with it. `mount` says that it was a mount point."""

    exclude: Sequence[str] = ()
    hidden: bool = False
    mount: bool = False


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
) -> Iterator[Found]:
    """Yield the readable files below `root`/`below` in the byte order of their paths.

    A link to a folder is followed once, and only out of the root: what is inside is found in its place.
    Folders in `apart` are roots of their own and passed over.
    """
    excluded = _patterns(options)
    real, followed = os.path.realpath(root), set[tuple[int, int]]()
    stack: list[Iterator[Found | tuple[bytes, bool]]] = [iter([(below, False)])]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, Found):
            yield step
        else:
            folder, linked = step
            if folder in apart:
                continue
            if not linked or not _is_loop(os.path.join(root, folder), real, followed):
                stack.append(iter(_list(root, folder, options.hidden, excluded, walked)))


def passes(options: Options, path: bytes) -> bool:
    """Say whether a folder under a root is walked: neither it nor a folder above it is left out."""
    excluded = _patterns(options)
    parts = path.split(b"/")
    return not any(
        part in LEFT_OUT
        or (part.startswith(b".") and not options.hidden)
        or _matches(b"/".join(parts[: n + 1]), excluded)
        for n, part in enumerate(parts)
    )


def _patterns(options: Options) -> list[re.Pattern[str]]:
    return [re.compile(translate(pattern.rstrip("/"))) for pattern in options.exclude]


def _list(
    root: bytes, folder: bytes, hidden: bool, excluded: list[re.Pattern[str]], walked: Walked
) -> list["Found | tuple[bytes, bool]"]:
    """Return the files, and (path, is it a link) of the folders, of one folder, in byte order of path.

    A folder sorts as if it ended in a slash, so that the whole walk comes in the order of SQLite's index.
    """
    prefix = folder + b"/" if folder else b""
    try:
        with os.scandir(os.path.join(root, folder)) as listing:
            entries = {e.name: e for e in listing if hidden or not e.name.startswith(b".")}
    except OSError:
        walked.unread.append(folder)
        return []
    if entries.keys() >= {CATALOGUE.encode(), INDEXES.encode()}:
        entries = {name: entry for name, entry in entries.items() if os.fsdecode(name) not in OWN_NAMES}
    rows: list[tuple[bytes, Found | tuple[bytes, bool]]] = []
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
    rows += _files(prefix, files, walked)
    rows.sort(key=lambda row: row[0])
    return [row for _, row in rows]


def _files(
    prefix: bytes, entries: dict[bytes, os.DirEntry[bytes]], walked: Walked
) -> Iterator[tuple[bytes, Found]]:
    """Yield (name, found) of the regular files that a decoder can read."""
    readers = _readers(list(entries))
    for name, entry in entries.items():
        reader, picture = readers.get(name, ("", None))
        if not reader:
            walked.skipped[_suffix(name) or "no suffix"] += 1
            continue
        try:
            status = entry.stat()
        except OSError as error:
            if error.errno not in NOWHERE:
                walked.unread.append(prefix + name)
            continue
        if stat.S_ISREG(status.st_mode):
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
