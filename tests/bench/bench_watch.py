"""Measure `clew watch`: seconds from closing a file until a search finds it.

    python tests/bench/bench_watch.py --files 10000 --saves 40

A process watches a folder of images, half of them in one folder and half in folders of 500. Files are saved
there one after another; another process searches for a word in the name of each until it is found, and then
for the image itself, which must be the best hit. Compared with the process `clew index` on the same library,
with one new file each time. `cpu` is the share of a core that the watching process uses without changes.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import count, cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
from common import clew, draw_jpegs, emit, machine, repeat_files, run, table

from retrieval import Library, SearchOptions

IDLE_SECONDS = 5.0  # without a change
SCANS = 4  # runs of `clew index`


def save_image(folder: Path, jpeg: bytes, number: int) -> Path:
    """Save a unique image with a pause after the first half."""
    path = folder / f"saved{number:06d}.jpg"
    with path.open("wb") as file:
        file.write(jpeg[: len(jpeg) // 2])
        file.flush()
        time.sleep(0.05)
        file.write(jpeg[len(jpeg) // 2 :] + b"new" + number.to_bytes(8))
    return path


def until_found(library: Library, path: Path, timeout: float = 60.0) -> float:
    """Return the seconds until a search for the name finds the file; infinity after the timeout."""
    start = time.monotonic()
    while time.monotonic() < start + timeout:
        if any(
            hit.path == path
            for hit in library.search(path.stem, count=3, options=SearchOptions(by="keyword"))
        ):
            return time.monotonic() - start
        time.sleep(0.01)
    return float("inf")


def measure(
    library: Library, places: list[Path], save: Callable[[Path], Path], saves: int
) -> dict[str, float]:
    """Return quantiles of the seconds per save, and the share of files that are their own best hit."""
    paths, took = [], []
    for number in range(saves):
        paths.append(save(places[number % len(places)]))
        took.append(until_found(library, paths[-1]))
    own_hits = [library.search(image=path, kind="image", count=3) for path in paths]
    correct = [path in {hit.path for hit in hits} for path, hits in zip(paths, own_hits, strict=True)]
    p50, p95 = np.quantile(took, (0.5, 0.95))
    return {
        "p50 s": float(p50),
        "p95 s": float(p95),
        "worst s": max(took),
        "correct": float(np.mean(correct)),
    }


def cpu_of(process: int) -> float:
    """Return the processor seconds of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--saves", type=int, default=40)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.files, args.saves = 100, 4
    print(f"{machine()}; {args.files:,} files, {args.saves} saves, seed 1\n")
    jpegs, numbers = draw_jpegs(20, 160, 120, seed=1), count()
    fresh = draw_jpegs(args.saves + SCANS, 320, 240, seed=2)
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as name:
        folder, library = Path(name) / "images", Path(name) / "library"
        repeat_files(jpegs[:10], args.files // 2, folder / "flat", folder_size=args.files)
        repeat_files(jpegs[10:], args.files // 2, folder / "deep")
        first = run(clew(), "index", folder, "--library", library, "--model", "builtin").took.wall
        places = [*(folder / "flat").iterdir(), *sorted((folder / "deep").iterdir())]

        def save(place: Path) -> Path:
            number = next(numbers)
            return save_image(place, fresh[number], number)

        scans = []
        for place in islice(cycle(places), SCANS):
            save(place)
            scans.append(run(clew(), "index", "--library", library).took.wall)
        watch = subprocess.Popen(
            [clew(), "watch", "--library", library],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        try:
            start = time.monotonic()
            while not watch.stderr.readline().startswith("Watching"):
                pass
            ready = time.monotonic() - start
            with Library.open(library) as opened:
                found = measure(opened, places, save, args.saves)
            before = cpu_of(watch.pid)
            time.sleep(IDLE_SECONDS)
            idle_cpu = (cpu_of(watch.pid) - before) / IDLE_SECONDS
        finally:
            watch.terminate()
            watch.communicate()
    rows = [
        {"from closed to found": "clew watch", **found, "cpu": idle_cpu, "exit": watch.returncode},
        {"from closed to found": "clew index, the process", "p50 s": median(scans), "worst s": max(scans)},
    ]
    table(rows)
    print(f"first indexed in {first:.1f} s; watching {ready:.1f} s after the start\n")
    emit("watch", files=args.files, saves=args.saves, rows=rows)


if __name__ == "__main__":
    main()
