"""Order files of one image by quality: the first is the one to keep."""

import os
import re
from collections.abc import Sequence

from retrieval.types import FileAttributes

# Words in the names of folders that hold copies, and the marks of a copy in a file name.
COPY_FOLDER = re.compile(
    r"(?<![^\W_])(backups?|back[ _-]up|bak|sicherung|sauvegarde|copy|copies|kopien?|export(s|ed)?|trash\w*"
    r"|papierkorb|recycled?|recycler|deleted|lost\+found|whatsapp|telegram|signal|messenger|downloads?"
    r"|te?mp|cache|thumb(nail)?s|resized|duplicates?|old)(?![^\W_])",
    re.IGNORECASE,
)
COPY_NAME = re.compile(
    r"(?<![^\W_])(copy|copie|kopie)(?![^\W_])| \(\d{1,2}\)$|~\d?$|-WA\d{4}$", re.IGNORECASE
)


def by_quality(files: Sequence[FileAttributes]) -> list[int]:
    """Return the rows of a group, the file to keep first.

    The criteria, in order: online, not in an archive, fewer folders and names that mark a copy, more pixels,
    sharp, with date and camera, larger file, older file, shorter path. A file is sharp if it
    has at least half the sharpness of the sharpest. Recompression changes sharpness by a factor of up to
    1.9, while slight blurring halves it.
    """
    if len(files) == 1:
        return [0]
    pixels = [file.pixels for file in files]
    sharpness = [file.sharpness or 0.0 for file in files]
    most = max(pixels)
    min_sharpness = max(s for s, count in zip(sharpness, pixels, strict=True) if count == most) / 2
    return sorted(
        range(len(files)),
        key=lambda row: (
            files[row].offline,
            files[row].in_archive,
            count_copy_marks(files[row]),
            -pixels[row],
            sharpness[row] < min_sharpness,
            -bool(files[row].taken) - bool(files[row].camera),
            -files[row].size,
            files[row].modified,
            len(os.fspath(files[row].path)),
            os.fsencode(files[row].path),
        ),
    )


def count_copy_marks(file: FileAttributes) -> int:
    """Count the parts of a path that mark a copy: 1 for `Phone backup/a.jpg`, 0 for `Album/a.jpg`.

    They are counted because the folder of a complete collection may have such a name, too.
    """
    return bool(COPY_NAME.search(file.path.stem)) + sum(
        COPY_FOLDER.search(part) is not None for part in file.path.parent.parts
    )
