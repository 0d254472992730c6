"""Small images and texts, and the path of the shared data."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.toy_embedder import COLORS

# APFS, the file system of macOS, rejects names that are not valid UTF-8.
requires_non_utf8_names = pytest.mark.skipif(
    sys.platform == "darwin", reason="cannot create file names that are not valid UTF-8"
)
SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


def draw_image(path: Path, color: str | tuple[int, int, int] = "red", size=(24, 16), **save) -> Path:
    """Write a solid image; create the parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLORS.get(color, color)).save(path, **save)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
