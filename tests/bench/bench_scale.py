"""Measure runs over many files: memory of a scan, and the time after a folder of a root was renamed.

    python tests/bench/bench_scale.py --files 100000 --renamed 100000

Each run of the indexer, with a toy embedder, is a new process. `unsupported`: a tree of files without a
decoder. `new`: texts that the library does not have. `unchanged`: the same texts, scanned again. All three
with a tenth of the files and with all. `renamed`: a folder with all images of a root gets another name;
compared with the first run, and with a run that finds nothing new.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from common import Ran, emit, machine, run, table
from PIL import Image

from indexer import update_library
from tests.support.toy_embedder import CountingToyEmbedder

FOLDER_SIZE = 500
FACTOR = 10  # between the two trees


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the indexer: its process, the files of its report, and the images that it has embedded."""

    process: Ran
    files: dict[str, int]
    embedded: int


def link_files(folder: Path, count: int, suffix: str) -> None:
    """Make a tree of hard links to files without content; a file system may limit the links of one file."""
    for start in range(0, count, FOLDER_SIZE):
        part = folder / f"{start // FOLDER_SIZE:05d}"
        part.mkdir(parents=True)
        first, *others = (part / f"{n:08d}{suffix}" for n in range(start, min(count, start + FOLDER_SIZE)))
        first.touch()
        for path in others:
            os.link(first, path)


def draw_images(folder: Path, count: int) -> None:
    """Write images of different colors."""
    for number in range(count):
        file = BytesIO()
        Image.new("RGB", (4, 4), tuple(number.to_bytes(3))).save(file, "BMP")
        path = folder / f"{number // FOLDER_SIZE:05d}" / f"{number:08d}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())


def index(folder: Path, library: Path) -> Run:
    """Update a library in a new process."""
    process = run(sys.executable, __file__, "--child", folder, library)
    answer = json.loads(process.out)
    return Run(process, answer["files"], answer["embedded"])


def run_child(folder: str, library: str) -> None:
    """Update a library, and print the files of the report and the number of embedded images."""
    embedder = CountingToyEmbedder()
    report = update_library([folder], library=library, embedder=embedder)
    states = ("added", "moved", "unchanged", "gone", "offline", "failed")
    files = {name: getattr(report, name) for name in states} | {"skipped": report.skipped.total()}
    print(json.dumps({"files": {k: v for k, v in files.items() if v}, "embedded": embedder.image_count}))


def measure_memory(place: Path, files: int) -> list[dict[str, object]]:
    """Return the peak memory of scans of a tenth of the files and of all."""
    peaks: dict[str, list[Ran]] = {}
    expected = {"unsupported": "skipped", "new": "added", "unchanged": "unchanged"}
    rows = []
    for count in (files // FACTOR, files):
        for suffix, names in ((".xyz", ["unsupported"]), (".txt", ["new", "unchanged"])):
            folder = place / f"{count}{suffix}"
            link_files(folder, count, suffix)
            for name in names:
                done = index(folder, place / f"library{count}{suffix}")
                assert done.files == {expected[name]: count}, done.files
                peaks.setdefault(name, []).append(done.process)
    for name, (small, large) in peaks.items():
        rows.append(
            {
                "files": name,
                "small MB": small.peak,
                "large MB": large.peak,
                "ratio": large.peak / small.peak,
                "small s": small.took.wall,
                "large s": large.took.wall,
            }
        )
    return rows


def measure_rename(place: Path, count: int) -> list[dict[str, object]]:
    """Return the times of the first run, of one without changes and of one after a rename."""
    root, library = place / "root", place / "renamed library"
    draw_images(root / "before", count)
    first, unchanged = index(root, library), index(root, library)
    (root / "before").rename(root / "after")
    renamed = index(root, library)
    assert renamed.files == {"moved": count}, renamed.files
    return [
        {
            "run": name,
            "files": count,
            "embedded": done.embedded,
            "s": done.process.took.wall,
            "of first": done.process.took.wall / first.process.took.wall,
            "MB": done.process.peak,
        }
        for name, done in (("first", first), ("unchanged", unchanged), ("renamed", renamed))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=50_000, help="of the large tree (full size: 1000000)")
    parser.add_argument("--renamed", type=int, default=10_000, help="images (full size: 100000)")
    parser.add_argument("--folder", help="for the trees; needs many inodes, such as /dev/shm")
    parser.add_argument("--smoke", action="store_true", help="a few files, to check that it runs")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(*options.child)
        return
    files, renamed = (1_000, 100) if options.smoke else (options.files, options.renamed)
    print(f"{machine()}\n{files // FACTOR:,} and {files:,} files; {renamed:,} renamed\n")
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        memory = measure_memory(Path(place), files)
        table(memory)
        moves = measure_rename(Path(place), renamed)
        table(moves)
    emit("scale", files=files, memory=memory, renamed=moves)


if __name__ == "__main__":
    main()
