"""Measure indexing: its rate, a scan in which nothing is new, and its memory.

    python tests/bench/bench_index.py --part rate,rescan,memory

rate: `update_library` on camera JPEGs against a plain loop (decode whole, prepare, embed, one picture at a
time) and against the roofline cores / (decode + forward), where decode is the core-seconds of Pillow's scaled
decode and the resizing to the model's input, and forward those of the bare model in batches of 32 on all
cores. `cosine` holds the vectors of the library to those of the plain loop.
rescan: `update_library`, and the process `clew index`, on unchanged files against a bare recursive
`os.scandir` with a `stat` of each file, and a Python process that does just that; files in the page cache.
memory: peak of the process `clew index` on ten times as many files.
"""

import argparse
import inspect
import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from common import Took, alone, clew, draw_jpegs, emit, machine, repeat_files, run, table, time_of
from PIL import Image, ImageOps

from indexer import update_library
from retrieval.catalog import Catalog
from retrieval.embedders import load
from retrieval.machine import cores
from retrieval.records import Filters, Vectors

CAMERA = Path(__file__).parents[3] / "shared" / "data" / "camera"
PARTS = ("rate", "rescan", "memory")


def rate(jpegs: Sequence[bytes], count: int, rounds: int, place: Path) -> dict[str, object]:
    """Print and return files/s of the product, the plain loop and the roofline, in turns."""
    paths = repeat_files(jpegs, count, place / "rate")
    done = [alone(rate_once, paths, place / f"library-{turn}") for turn in range(rounds)]
    ways = ("clew", "plain loop", "roofline")
    rows = [
        {
            "rate": way,
            "files/s": count / median(each[way].wall for each in done),
            "core-ms a file": 1000 * median(each[way].cpu for each in done) / count,
            "clew is x": median(each[way].wall / each["clew"].wall for each in done),
        }
        for way in ways
    ]
    table(rows)
    least = min(each["cosine"] for each in done)
    print(f"cosine of the vectors of clew and of the plain loop at least {least:.5f}\n")
    return {"files": count, "rows": rows, "cosine": least}


def rate_once(paths: Sequence[Path], library: Path) -> dict[str, Took | float]:
    """Measure each way once, and the least cosine of the library's vectors and the plain loop's."""
    model, plain = load("builtin"), list[Vectors]()
    pixels = [model.prepare(scaled(path, model.side)) for path in paths[:32]]
    model.embed_images(pixels), model.embed_texts(["a dog"])  # both towers are loaded now
    forward = median(time_of(lambda: model.embed_images(pixels)).wall for _ in range(10)) / len(pixels)
    decode = time_of(lambda: [model.prepare(scaled(path, model.side)) for path in paths]).wall / len(paths)
    core_seconds = len(paths) * (decode + cores() * forward)
    return {
        "roofline": Took(core_seconds / cores(), core_seconds),
        "clew": time_of(lambda: update_library([paths[0].parents[1]], library=library, embedder=model)),
        "plain loop": time_of(
            lambda: plain.extend(model.embed_images([model.prepare(whole(path))]) for path in paths)
        ),
        "cosine": float((picture_vectors(library) * np.concatenate(plain)).sum(axis=1).min()),
    }


def scaled(path: Path, side: int) -> Image.Image:
    picture = Image.open(path)
    picture.draft("RGB", (side, side))
    return picture.convert("RGB")


def whole(path: Path) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(path).convert("RGB"))


def picture_vectors(library: Path) -> Vectors:
    catalog = Catalog.open(library)
    return catalog.vectors_of(catalog.space(), catalog.allowed(Filters(frozenset({"image"}))))[1]


def rescan(count: int, rounds: int, place: Path) -> dict[str, object]:
    """Print and return seconds of a look at unchanged files, in the process and as one."""
    dot = draw_jpegs(1, 40, 40, seed=1)[0]
    (place / "dots").mkdir()
    for n in range(count):
        path = place / "dots" / f"{n // 500:04d}" / f"{n:07d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(dot)
    folder, library = place / "dots", place / "dots-library"
    first = run(clew(), "index", folder, "--library", library).took.wall
    walking = f"import os\n{inspect.getsource(walk)}\nwalk({str(folder)!r})"
    turns = {
        "in a process": alone(rescan_inside, folder, library, rounds),
        "whole process": [
            (run(sys.executable, "-c", walking).took, run(clew(), "index", "--library", library).took)
            for _ in range(rounds)
        ],
    }
    rows = [{"rescan": name, **compare(each)} for name, each in turns.items()]
    table(rows)
    print(f"{count:,} files; indexed at first in {first:.1f} s\n")
    return {"files": count, "first_s": first, "rows": rows}


def rescan_inside(folder: Path, library: Path, rounds: int) -> list[tuple[Took, Took]]:
    """Return what the bare walk and the product took, in turns, after a warm-up."""
    model = load("builtin")
    walk(str(folder))

    def turn() -> tuple[Took, Took]:
        bare = time_of(lambda: walk(str(folder)))
        return bare, time_of(lambda: update_library(library=library, embedder=model))

    return [turn() for _ in range(rounds)]


def compare(turns: Sequence[tuple[Took, Took]]) -> dict[str, float]:
    """Return the medians of walk and product, and their ratios."""
    walked, took = (Took(*map(median, zip(*each, strict=True))) for each in zip(*turns, strict=True))
    ratios = {"ratio": took.wall / walked.wall, "cpu ratio": took.cpu / walked.cpu}
    return {"walk s": walked.wall, "clew s": took.wall, **ratios}


def walk(folder: str) -> int:
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                count += walk(entry.path)
            else:
                entry.stat()
                count += 1
    return count


def memory(counts: Sequence[int], place: Path) -> dict[str, object]:
    """Print and return the peak of `clew index` for each number of files."""
    jpegs, rows = draw_jpegs(100, 640, 480, seed=1), []
    for count in counts:
        folder = place / f"small-{count}"
        repeat_files(jpegs, count, folder)
        done = run(clew(), "index", folder, "--library", place / f"small-library-{count}")
        rows.append({"memory, files": count, "peak MB": done.peak, "seconds": done.took.wall, "ratio": None})
    for before, row in pairwise(rows):
        row["ratio"] = row["peak MB"] / before["peak MB"]
    table(rows)
    return {"rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--part", type=lambda text: text.split(","), default=PARTS)
    parser.add_argument("--pictures", type=Path, default=CAMERA, help="a folder of JPEGs, else drawn ones")
    parser.add_argument("--count", type=int, default=300, help="files of the rate")
    parser.add_argument("--files", type=int, default=100_000, help="files of the rescan")
    parser.add_argument("--rounds", type=int, default=None, help="[3 of the rate, 5 of the rescan]")
    parser.add_argument("--smoke", action="store_true", help="a few seconds, to see that it runs")
    given = parser.parse_args()
    if given.smoke:
        given.count, given.files, given.rounds = 16, 1_000, 1
    jpegs = [path.read_bytes() for path in sorted(given.pictures.glob("*.jp*g"))]
    source = f"{len(jpegs)} pictures of {given.pictures.name}" if jpegs else "drawn pictures"
    print(f"{machine()}; {source}, {given.count} files, rescan {given.files:,}, seed 1\n")
    numbers = {}
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as name:
        place = Path(name)
        if "rate" in given.part:
            jpegs = jpegs or draw_jpegs(8, 3072, 2304, seed=1)
            numbers["rate"] = rate(jpegs, given.count, given.rounds or 3, place)
        if "rescan" in given.part:
            numbers["rescan"] = rescan(given.files, given.rounds or 5, place)
        if "memory" in given.part:
            numbers["memory"] = memory((50, 500) if given.smoke else (1_000, 10_000), place)
    emit("index", **numbers)


if __name__ == "__main__":
    main()
