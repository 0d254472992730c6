"""Measure a cold `clew search`: the complete process, with a warm disk cache.

    python tests/bench/bench_cold.py --segments 100000 [--arch ViT-B-32]

It alternates with a bare process that imports numpy, faiss and onnxruntime. The library is synthetic, with
the space of the built-in model (or, with --arch, of an open_clip model with random weights), in two
mixtures: only images, and half of the segments text.
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
from indexer.maintenance.calibrate import calibrate_if_due
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
    """Prepare an open_clip model with random weights; return its name and dimension."""
    embedder = prepare_model(str(make_checkpoint(arch, place)), arch=arch)
    return embedder.name, embedder.dim


def make(folder: Path, cloud: Cloud, kinds: dict[str, float], model: str) -> str:
    """Write a library; return the methods of its indexes."""
    embedder = load_embedder(model)
    make_library(folder, cloud, kinds, embedder)
    with LibraryWriter(folder, lambda _: embedder) as writer:
        space = build_if_due(writer)
        calibrate_if_due(writer, space, embedder)
        return ", ".join(file.method for file in space.indexes)


def measure(library: Path, turns: int) -> dict[str, object]:
    """Return the medians of a number of rounds."""
    search = ("search", WORDS, "--all", "--library", library)  # vectors drawn at random match nothing well
    run(clew(), *search), run(*BARE)  # fills the disk cache
    pairs = [(run(clew(), *search), run(*BARE)) for _ in range(turns)]
    cold, bare = (median(ran.took.wall for ran in each) for each in zip(*pairs, strict=True))
    return {
        "hits": pairs[0][0].out.count("\n"),
        "cold s": cold,
        "bare s": bare,
        "x bare": cold / bare,
        "peak MB": max(ran.peak for ran, _ in pairs),
        "bare MB": max(ran.peak for _, ran in pairs),
        "torch": run(sys.executable, "-c", TORCH, *search).out.split()[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--arch", help="an architecture of open_clip [the built-in model]")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.segments, args.turns = 2_000, 3
    print(f"{machine()}; {args.segments:,} segments, median of {args.turns}, seed {args.seed}\n")
    rows = []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        os.environ["XDG_CACHE_HOME"] = f"{place}/cache"
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # installed packages have bytecode
        model, dim = alone(prepare, args.arch, Path(place)) if args.arch else ("builtin", 384)
        for name, kinds in MIXTURES.items():
            library = Path(place) / name
            kind = alone(make, library, Cloud(args.segments, dim, args.seed), kinds, model)
            rows.append({"library": name, "index": kind, **measure(library, args.turns)})
    table(rows)
    emit("cold", arch=args.arch, segments=args.segments, seed=args.seed, rows=rows)


if __name__ == "__main__":
    main()
