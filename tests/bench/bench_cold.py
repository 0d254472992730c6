"""Measure a cold `clew search`: the whole process, from its start to its answer, disk cache warm.

    python tests/bench/bench_cold.py --segments 100000

Against a bare process that imports numpy, faiss and onnxruntime, in turns. The library is drawn, its space
the built-in model's, in two mixtures: images alone, and half of the segments text.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from common import Cloud, alone, clew, embedder_of, emit, machine, make_library, run, table

from indexer.build import build_if_due
from indexer.writer import Writer

WORDS = "a dog"
BARE = (sys.executable, "-c", "import numpy, faiss, onnxruntime")
MIXTURES = {"images": {"image": 1.0}, "half text": {"image": 0.5, "text": 0.5}}
TORCH = """
import sys
from indexer.cli import main
main(sys.argv[1:], standalone_mode=False)
print("torch" in sys.modules)
"""


def make(folder: Path, cloud: Cloud, kinds: dict[str, float]) -> str:
    """Make a library; return the methods of its indexes."""
    make_library(folder, cloud, kinds)
    with Writer(folder, lambda _: embedder_of(cloud.dim)) as writer:
        return ", ".join(file.method for file in build_if_due(writer).indexes)


def measure(library: Path, turns: int) -> dict[str, object]:
    """Return the medians of so many turns."""
    search = ("search", WORDS, "--library", library)
    run(clew(), *search), run(*BARE)  # into the disk cache
    both = [(run(clew(), *search), run(*BARE)) for _ in range(turns)]
    cold, bare = (median(ran.took.wall for ran in each) for each in zip(*both, strict=True))
    return {
        "hits": both[0][0].out.count("\n"),
        "cold s": cold,
        "bare s": bare,
        "x bare": cold / bare,
        "peak MB": max(ran.peak for ran, _ in both),
        "bare MB": max(ran.peak for _, ran in both),
        "torch": run(sys.executable, "-c", TORCH, *search).out.split()[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a few seconds, to see that it runs")
    given = parser.parse_args()
    if given.smoke:
        given.segments, given.turns = 2_000, 3
    print(f"{machine()}; {given.segments:,} segments x 256, median of {given.turns}, seed {given.seed}\n")
    rows = []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        for name, kinds in MIXTURES.items():
            library = Path(place) / name
            kind = alone(make, library, Cloud(given.segments, 256, given.seed), kinds)
            rows.append({"library": name, "index": kind, **measure(library, given.turns)})
    table(rows)
    emit("cold", segments=given.segments, seed=given.seed, rows=rows)


if __name__ == "__main__":
    main()
