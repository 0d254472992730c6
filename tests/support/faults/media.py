"""Folders of media that change between the runs of an operation: new, changed, renamed and removed files."""

import random
import zipfile
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.support.files import draw_image, write_text
from tests.support.toy_embedder import COLORS

NAMES = tuple(COLORS)
LONG_TEXT_PARAGRAPHS = 24  # more than a batch, so that it takes several transactions


def random_color(random_: random.Random) -> tuple[int, int, int]:
    red, green, blue = (random_.randrange(256) for _ in range(3))
    return red, green, blue


def add_files(folder: Path, random_: random.Random, count: int) -> None:
    """Add images, captions, texts and an archive."""
    number = random_.randrange(10**9)
    for at in range(count):
        path = folder / str(at % 3) / f"{number}-{at}.png"
        draw_image(path, random_color(random_), size=(24 + at, 16))
        if at % 3 == 0:
            write_text(path.with_suffix(".txt"), f"{random_.choice(NAMES)} {number}\n")
    paragraphs = (f"{random_.choice(NAMES)} {number} {n}" for n in range(LONG_TEXT_PARAGRAPHS))
    write_text(folder / f"{number}.md", "\n\n".join(paragraphs))
    with zipfile.ZipFile(folder / f"{number}.zip", "w") as archive:
        for at in range(2):
            data = BytesIO()
            Image.new("RGB", (20 + at, 20), random_color(random_)).save(data, "PNG")
            archive.writestr(f"{at}.png", data.getvalue())


def change_files(folder: Path, random_: random.Random, count: int) -> None:
    """Add files, and change, rename and remove a few."""
    files = sorted(path for path in folder.rglob("*.*") if path.suffix in (".png", ".md"))
    random_.shuffle(files)
    for path in files[:count]:
        if path.suffix == ".md":
            write_text(path, f"{random_.choice(NAMES)} {random_.randrange(10**9)}")
        else:
            draw_image(path, random_color(random_), size=(30 + random_.randrange(9), 16))
    for path in files[count : 2 * count]:
        path.rename(path.with_name(f"renamed-{random_.randrange(10**9)}{path.suffix}"))
    for path in files[2 * count : 3 * count]:
        path.unlink()
    add_files(folder, random_, 2 * count)
