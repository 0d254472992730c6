"""Write archives of each format, and small images as their members."""

import io
import os
import tarfile
import time
import zipfile
from pathlib import Path

from PIL import Image

from tests.support.toy_embedder import COLORS

TAR_MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
ZIP_METHODS = {".zip": zipfile.ZIP_STORED, ".cbz": zipfile.ZIP_DEFLATED, ".ZIP": zipfile.ZIP_BZIP2}
SUFFIXES = (*TAR_MODES, *ZIP_METHODS)


def small_png(color: str | tuple[int, int, int]) -> bytes:
    """Return a solid image as PNG; the color may be a color word of the toy embedder."""
    file = io.BytesIO()
    Image.new("RGB", (24, 16), COLORS.get(color, color)).save(file, "PNG")
    return file.getvalue()


COLOR_IMAGES = {f"in/{color}.png": small_png(color) for color in COLORS}


def write_archive(path: Path, files: dict[str, bytes], mtime: float = 1_700_000_000) -> Path:
    """Write an archive in the format of its suffix; the archive and its members have the same mtime."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = max((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), key=len)
    if suffix in TAR_MODES:
        with tarfile.open(path, TAR_MODES[suffix]) as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(data), mtime
                tar.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(path, "w", ZIP_METHODS[suffix]) as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name, time.localtime(mtime)[:6]), data, ZIP_METHODS[suffix])
    os.utime(path, (mtime, mtime))
    return path
