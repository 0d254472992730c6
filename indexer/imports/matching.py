"""Match stored images with files by path, size and time."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from indexer.imports.base import StoredImage, VectorSource
from indexer.types import file_times
from retrieval.embedders.base import vector_defect

BATCH_IMAGES = 1_000
MAX_TIME_DIFFERENCE = 0.001  # seconds, between the time in a source and that of the file
ESCAPED_BYTE = re.compile(rb"\\udc([89a-f][0-9a-f])")  # in paths that `clew export` writes


class MatchedFile(NamedTuple):
    """A file with a stored vector."""

    path: bytes  # absolute
    size: int
    mtime: int  # nanoseconds
    row: int


class Refusal(NamedTuple):
    """A file whose stored vector cannot be adopted."""

    path: bytes
    reason: str


@dataclass(slots=True)
class Matches:
    """The files of a source, each in one of these."""

    files: dict[bytes, MatchedFile] = field(default_factory=dict)
    missing: list[bytes] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)
    outside: list[bytes] = field(default_factory=list)  # of the folders
    refused: list[Refusal] = field(default_factory=list)

    @property
    def stored(self) -> int:
        """Return the number of images in the source."""
        left_out = len(self.missing) + len(self.changed) + len(self.outside) + len(self.refused)
        return len(self.files) + left_out


def match_files(source: VectorSource, dim: int, folders: Sequence[bytes] = ()) -> Matches:
    """Match the images of a source with files, in these folders if any are given.

    Of several rows of one path, such as those of its tiles, only the first is used.
    """
    matches, seen = Matches(), set[bytes]()
    bases = _bases(source, folders)
    inside = tuple({_with_slash(path) for folder in folders for path in (folder, os.path.realpath(folder))})
    stored = source.images()
    while images := list(islice(stored, BATCH_IMAGES)):
        candidates = []
        for image in images:
            path = _find(image.path, bases)
            if path in seen:
                continue
            seen.add(path)
            if inside and not path.startswith(inside):
                matches.outside.append(path)
                continue
            file = _match(path, image, matches)
            candidates += [] if file is None else [file]
        vectors = source.vectors([file.row for file in candidates])
        for file, vector in zip(candidates, vectors, strict=True):
            reason = vector_defect(vector, dim)
            if reason is None:
                matches.files[file.path] = file
            else:
                matches.refused.append(Refusal(file.path, reason))
    return matches


def _match(path: bytes, image: StoredImage, matches: Matches) -> MatchedFile | None:
    """Return the file of an image, or add it to the missing or changed ones."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        matches.missing.append(path)
        return None
    has_other_size = image.size not in (None, status.st_size)
    if has_other_size or (
        image.mtime is not None and abs(status.st_mtime - image.mtime) > MAX_TIME_DIFFERENCE
    ):
        matches.changed.append(path)
        return None
    return MatchedFile(path, status.st_size, file_times(status)[0], image.row)


def _bases(source: VectorSource, folders: Sequence[bytes]) -> list[bytes]:
    """Return the folders to which relative paths may be relative, in order."""
    parents = [os.path.dirname(folder) for folder in folders]
    return [*folders, *parents, os.path.abspath(b"."), os.path.dirname(os.path.abspath(bytes(source.path)))]


def _find(path: bytes, bases: Sequence[bytes]) -> bytes:
    """Return the absolute path of an image: of its candidates the first that exists, else the first."""
    candidates = list(_candidates(path, bases))
    return next(filter(os.path.exists, candidates), candidates[0])


def _candidates(path: bytes, bases: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the absolute paths that a stored path may stand for."""
    unescaped = ESCAPED_BYTE.sub(lambda match: bytes.fromhex(match[1].decode()), path)
    for spelling in dict.fromkeys((path, unescaped)):
        if os.path.isabs(spelling):
            yield os.path.normpath(b"/" + spelling.lstrip(b"/"))
        else:
            yield from (os.path.normpath(os.path.join(base, spelling)) for base in bases)


def _with_slash(folder: bytes) -> bytes:
    return folder.rstrip(b"/") + b"/"
