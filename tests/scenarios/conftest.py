"""Folders that several scenarios index."""

from pathlib import Path

import pytest

from tests.support.files import draw_image, write_text


@pytest.fixture(scope="module")
def busy(tmp_path_factory) -> Path:
    """Make a folder of pictures, captions, and a text of many transactions."""
    folder = tmp_path_factory.mktemp("busy")
    for number in range(240):
        draw_image(
            folder / str(number % 5) / f"{number}.png", (number, 255 - number, number // 2), size=(64, 48)
        )
    for number in range(0, 240, 6):
        write_text(folder / str(number % 5) / f"{number}.txt", f"red {number}\ngreen {number}\n")
    write_text(folder / "long.txt", "\n\n".join(f"blue {n}" for n in range(2_500)))
    return folder
