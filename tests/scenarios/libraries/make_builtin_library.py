"""Make the fixture builtin-1.zip: a library of version 1 of the built-in model.

    python make_builtin_library.py [--repository CLONE]

The code of the last commit with that model runs as a command, on images that are drawn here. The paths, and
times of the files, are as in the fixtures of make_libraries.py.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import closing
from pathlib import Path

from make_libraries import BASE, START, extract
from PIL import Image, ImageDraw

COMMIT = "b75cbd5"
NOTE = "The rowing boat lies at the second pier.\n"


def draw() -> None:
    """Draw four images, one of them with a caption, and write a note."""
    folder = BASE / "pictures"
    folder.mkdir(parents=True)
    for name, shape, color in (
        ("disk", "ellipse", "red"),
        ("red disk 2", "ellipse", "darkred"),
        ("square", "rectangle", "blue"),
        ("stripes", "line", "green"),
    ):
        image = Image.new("RGB", (320, 240), "white")
        getattr(ImageDraw.Draw(image), shape)((80, 40, 240, 200), fill=color)
        image.save(folder / f"{name}.png")
    (folder / "square.txt").write_text("a blue square on paper\n")
    (folder / "note.txt").write_text(NOTE)
    for number, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (START + 2 * number,) * 2)


def main() -> None:
    """Make the fixture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repository", type=Path, default=Path.cwd(), help="a clone of the repository")
    os.environ["TZ"] = "UTC"  # a zip file has no time zone, and whoever unpacks it sets times as UTC
    time.tzset()
    repository = parser.parse_args().repository.resolve()
    shutil.rmtree(BASE, ignore_errors=True)
    draw()
    with tempfile.TemporaryDirectory() as code, tempfile.TemporaryDirectory() as cache:
        extract(repository, COMMIT, code)
        environment = {**os.environ, "PYTHONPATH": code, "XDG_CACHE_HOME": cache}

        def clew(*words: str | Path) -> None:
            command = [sys.executable, "-m", "indexer", *map(str, words), "--library", str(BASE / "library")]
            subprocess.run(command, env=environment, cwd=code, check=True)

        pictures = BASE / "pictures"
        clew("index", pictures, "--model", "builtin")
        clew("teach", "round", pictures / "disk.png", "--not", pictures / "square.png")
        clew("tag", "--one-of", "circle", "line")
    with closing(sqlite3.connect(BASE / "library" / "catalogue.sqlite")) as db:
        db.executescript("DELETE FROM backgrounds; VACUUM")  # 700 kB, which a later version computes again
    expected = {"base": str(BASE), "roots": ["pictures"]}
    with zipfile.ZipFile(Path(__file__).with_name("builtin-1.zip"), "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in BASE.rglob("*") if path.is_file()):
            packed.write(path, path.relative_to(BASE))
        packed.writestr("expected.json", json.dumps(expected))
    shutil.rmtree(BASE)


if __name__ == "__main__":
    main()
