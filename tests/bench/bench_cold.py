"""Measure a cold `clew search`: the whole process, from its start to its answer, disk cache warm.

    python tests/bench/bench_cold.py --segments 100000 [--arch ViT-B-32]

Against a bare process that imports numpy, faiss and onnxruntime, in turns. The library is drawn, its space
the built-in model's (or, with --arch, that of an open_clip model of random weights), in two mixtures: images
alone, and half of the segments text.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

from common import Cloud, alone, clew, emit, machine, make_checkpoint, make_library, run, table

from indexer import prepare_model
from indexer.maintenance.build_index import build_if_due
from indexer.store.writer import LibraryWriter
from retrieval.embedders.registry import load_embedder

WORDS = "a dog"
BARE = (sys.executable, "-c", "import numpy, faiss, onnxruntime")
MIXTURES = {"images": {"image": 1.0}, "half text": {"image": 0.5, "text": 0.5}}
TORCH = """
import sys
from indexer.cli.main import main
main(sys.argv[1:], standalone_mode=False)
print("torch" in sys.modules)
"""


def prepare(arch: str, place: Path) -> tuple[str, int]:
    """Prepare an open_clip model of random weights; return its name and dimensions."""
    embedder = prepare_model(str(make_checkpoint(arch, place)), arch=arch)
    return embedder.name, embedder.dim


def make(folder: Path, cloud: Cloud, kinds: dict[str, float], model: str) -> str:
    """Make a library; return the methods of its indexes."""
    embedder = load_embedder(model)
    make_library(folder, cloud, kinds, embedder)
    with LibraryWriter(folder, lambda _: embedder) as writer:
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
    parser.add_argument("--arch", help="an architecture of open_clip [the built-in model]")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a few seconds, to see that it runs")
    given = parser.parse_args()
    if given.smoke:
        given.segments, given.turns = 2_000, 3
    print(f"{machine()}; {given.segments:,} segments, median of {given.turns}, seed {given.seed}\n")
    rows = []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
        model, dim = alone(prepare, given.arch, Path(place)) if given.arch else ("builtin", 256)
        for name, kinds in MIXTURES.items():
            library = Path(place) / name
            kind = alone(make, library, Cloud(given.segments, dim, given.seed), kinds, model)
            rows.append({"library": name, "index": kind, **measure(library, given.turns)})
    table(rows)
    emit("cold", arch=given.arch, segments=given.segments, seed=given.seed, rows=rows)


if __name__ == "__main__":
    main()
