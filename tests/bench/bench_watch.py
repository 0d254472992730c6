"""Measure `clew watch`: seconds from the moment a file is closed to the moment a search finds it.

    python tests/bench/bench_watch.py --files 10000 --saves 40

A folder of pictures, half of them in one folder and half in folders of 500, is watched by a process of its
own; files are saved there one after another, and another process asks for each by a word in its name until
it is found; then it must be the best hit for its own picture. Against a whole `clew index` of the same
library, with one new file each time. `cpu` is what the watching process takes of a core while nothing
changes.
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

STILL = 5.0  # seconds without a change
SCANS = 4  # runs of `clew index`


def saved(folder: Path, jpeg: bytes, number: int) -> Path:
    """Save a unique image, slowly enough that it is seen half-written."""
    path = folder / f"saved{number:06d}.jpg"
    with path.open("wb") as file:
        file.write(jpeg[: len(jpeg) // 2])
        file.flush()
        time.sleep(0.05)
        file.write(jpeg[len(jpeg) // 2 :] + b"new" + number.to_bytes(8))
    return path


def until_found(library: Library, path: Path, patience: float = 60.0) -> float:
    """Return the seconds until a search for the name finds the file; infinite after a minute."""
    begun = time.monotonic()
    while time.monotonic() < begun + patience:
        if any(
            hit.path == path
            for hit in library.search(path.stem, count=3, options=SearchOptions(by="keyword"))
        ):
            return time.monotonic() - begun
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
    own = [library.search(image=path, kind="image", count=3) for path in paths]
    right = [path in {hit.path for hit in hits} for path, hits in zip(paths, own, strict=True)]
    p50, p95 = np.quantile(took, (0.5, 0.95))
    return {"p50 s": float(p50), "p95 s": float(p95), "worst s": max(took), "right": float(np.mean(right))}


def cpu_of(process: int) -> float:
    """Return the seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--saves", type=int, default=40)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    given = parser.parse_args()
    if given.smoke:
        given.files, given.saves = 100, 4
    print(f"{machine()}; {given.files:,} files, {given.saves} saves, seed 1\n")
    jpegs, numbers = draw_jpegs(20, 160, 120, seed=1), count()
    fresh = draw_jpegs(given.saves + SCANS, 320, 240, seed=2)
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as name:
        folder, library = Path(name) / "pictures", Path(name) / "library"
        repeat_files(jpegs[:10], given.files // 2, folder / "flat", a_folder=given.files)
        repeat_files(jpegs[10:], given.files // 2, folder / "deep")
        first = run(clew(), "index", folder, "--library", library, "--model", "builtin").took.wall
        places = [*(folder / "flat").iterdir(), *sorted((folder / "deep").iterdir())]

        def save(place: Path) -> Path:
            number = next(numbers)
            return saved(place, fresh[number], number)

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
            begun = time.monotonic()
            while not watch.stderr.readline().startswith("Watching"):
                pass
            ready = time.monotonic() - begun
            with Library.open(library) as opened:
                found = measure(opened, places, save, given.saves)
            before = cpu_of(watch.pid)
            time.sleep(STILL)
            still = (cpu_of(watch.pid) - before) / STILL
        finally:
            watch.terminate()
            watch.communicate()
    rows = [
        {"from close to findable": "clew watch", **found, "cpu": still, "exit": watch.returncode},
        {"from close to findable": "clew index, the process", "p50 s": median(scans), "worst s": max(scans)},
    ]
    table(rows)
    print(f"indexed at first in {first:.1f} s; watching {ready:.1f} s after its start\n")
    emit("watch", files=given.files, saves=given.saves, rows=rows)


if __name__ == "__main__":
    main()
