"""Measure indexing and rescanning of archives against the same files in a folder.

index: images into a new library with the built-in model, alternately from the folder and from each kind of
archive; the zip is not compressed. `correct` is the share of images found with the same score as in the
folder. rescan: a run without changes, in this process, with files in the page cache. The walk is `os.scandir`
with a `stat` of each file: of the files themselves, and of the archives.
"""

import argparse
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path
from statistics import median

from common import Took, draw_jpegs, emit, machine, repeat_files, table, time_of

from indexer import IndexOptions, update_library
from retrieval import Library
from retrieval.embedders.registry import load_embedder

SHARD = 1_000  # files of an archive
KINDS = ("folder", "tar", "zip", "tar.gz")
QUERY = "a red shape"


def pack(kind: str, files: list[Path], place: Path) -> Path:
    """Write archives of the files; return their folder."""
    place.mkdir()
    for first in range(0, len(files), SHARD):
        path = place / f"{first:06d}.{kind}"
        shard = files[first : first + SHARD]
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for file in shard:
                    archive.write(file, file.name)
        else:
            with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
                for file in shard:
                    archive.add(file, file.name)
    return place


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


def measure(count: int, rounds: int, side: int, place: Path) -> list[dict[str, object]]:
    """Return a row per kind: files per second, share of equal scores, rescan time."""
    model = load_embedder("builtin")
    files = repeat_files(draw_jpegs(min(count, 100), side, side * 3 // 4, seed=1), count, place / "folder")
    places = {"folder": place / "folder"}
    places |= {kind: pack(kind, files, place / kind) for kind in KINDS[1:]}
    times: dict[str, list[Took]] = {kind: [] for kind in KINDS}
    for turn in range(rounds):
        for kind, folder in places.items():
            library = place / f"library-{kind}-{turn}"
            took = time_of(
                lambda folder=folder, library=library: update_library(
                    [folder], library=library, embedder=model, options=IndexOptions(archives=True)
                )
            )
            times[kind].append(took)
    wall, cpu = ({kind: median(took[at] for took in times[kind]) for kind in KINDS} for at in (0, 1))
    truth = scores(place / "library-folder-0", count)
    bare = median(time_of(lambda: walk(str(places["folder"]))).wall for _ in range(5))
    rows = []
    for kind, folder in places.items():
        library = place / f"library-{kind}-0"
        found = scores(library, count)
        rescan = median(
            time_of(lambda library=library: update_library(library=library, embedder=model)).wall
            for _ in range(5)
        )
        walked = median(time_of(lambda folder=folder: walk(str(folder))).wall for _ in range(5))
        rows.append(
            {
                "kind": kind,
                "files/s": count / wall[kind],
                "of folder": wall["folder"] / wall[kind],
                "by cpu": cpu["folder"] / cpu[kind],
                "correct": sum(abs(found.get(name, 2) - score) < 2e-3 for name, score in truth.items())
                / count,
                "rescan ms": 1e3 * rescan,
                "walk of files ms": 1e3 * bare,
                "ratio": rescan / bare,
                "walk of archives ms": 1e3 * walked,
            }
        )
    return rows


def scores(folder: Path, count: int) -> dict[str, float]:
    """Return file name -> score."""
    with Library.open(folder) as library:
        return {hit.path.name: hit.score for hit in library.search(QUERY, kind="image", count=count)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="files")
    parser.add_argument("--side", type=int, default=320, help="pixels of the longer side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.count, args.side, args.rounds = 60, 80, 1
    print(f"{machine()}\n{args.count:,} JPEGs of {args.side} pixels, {SHARD:,} per archive, built-in model\n")
    with tempfile.TemporaryDirectory() as place:
        rows = measure(args.count, args.rounds, args.side, Path(place))
    table(rows)
    emit("archives", files=args.count, side=args.side, rounds=args.rounds, rows=rows)


if __name__ == "__main__":
    main()
