"""Find the folders that contain the files of a source."""

import os
from collections.abc import Iterable
from pathlib import Path


def common_folders(files: Iterable[bytes], home: Path | None = None) -> list[bytes]:
    """Return the innermost folders that contain these files, one for each folder of the user.

    Neither the home folder nor a folder above it is returned, nor a folder at the top of the file system, nor
    one with other file systems: these have too much that the user has not indexed. Files directly in them are
    in no folder of the result.
    """
    own_home = os.fsencode(home or Path.home())
    groups: dict[bytes, list[bytes]] = {}
    for folder in sorted({os.path.dirname(file) for file in files}):
        top = _top_folder(folder, own_home)
        if top is not None:
            groups.setdefault(top, []).append(folder)
    return [os.path.commonpath(folders) for folders in groups.values()]


def _top_folder(folder: bytes, home: bytes) -> bytes | None:
    """Return the outermost folder above a folder, or itself, that may be returned."""
    top = None
    while not _is_shared(folder, home):
        if top is not None and _device(folder) != _device(top):
            break
        top, folder = folder, os.path.dirname(folder)
    return top


def _is_shared(folder: bytes, home: bytes) -> bool:
    """Return True for a folder that contains what does not belong together."""
    return folder.count(b"/") < 2 or home == folder or home.startswith(folder + b"/")


def _device(folder: bytes) -> int | None:
    try:
        return os.stat(folder).st_dev
    except OSError:
        return None
