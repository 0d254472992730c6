"""Measure indexing: its rate, a scan in which nothing is new, and its memory.

    python tests/bench/bench_index.py --part rate,rescan,memory
    python tests/bench/bench_index.py --part rate --arch ViT-B-32 --count 504 [--avx2]

rate: `update_library` on camera JPEGs against a plain loop (decode whole, prepare, embed, one picture at a
time) and against the roofline cores / (decode + forward), where decode is the core-seconds of Pillow's scaled
decode and the resizing to the model's input, and forward those of the bare model in batches of 32 on all
cores. `cosine` holds the vectors of the library to those of the plain loop. With --arch, a model of
open_clip with random weights: the plain loop is open_clip's documented one in float32, DataLoader is
clip-retrieval's way (workers that decode, batches of 32, float32), onnxruntime is rclip's (decoded ahead in
threads, batches of 8, float32); these are given a quarter of the files.
rescan: `update_library`, and the process `clew index`, on unchanged files against a bare recursive
`os.scandir` with a `stat` of each file, and a Python process that does just that; files in the page cache.
memory: peak of the process `clew index` on ten times as many files.
"""

import argparse
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import others
from common import (
    ISA,
    Took,
    alone,
    clew,
    draw_jpegs,
    emit,
    machine,
    make_checkpoint,
    repeat_files,
    run,
    table,
    time_of,
)
from PIL import Image

from indexer import update_library
from indexer.models.resolve import resolve_embedder
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder, Pixels
from retrieval.embedders.model_cache import EXPORTED_IMAGE_TOWERS
from retrieval.embedders.open_clip import OpenClipEmbedder
from retrieval.embedders.registry import load_embedder
from retrieval.system import cores
from retrieval.types import Filters, Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CAMERA = Path(__file__).parents[3] / "shared" / "data" / "camera"
PARTS = ("rate", "rescan", "memory")


def rate(jpegs: Sequence[bytes], count: int, rounds: int, place: Path, arch: str | None) -> dict[str, object]:
    """Print and return files/s of the product, the others' loops and the roofline, in turns."""
    paths = repeat_files(jpegs, count, place / "rate")
    os.environ["XDG_CACHE_HOME"] = str(place / "cache")
    if arch is not None:
        print(alone(make_ready, arch, place), "\n")
    done = [alone(rate_once, paths, place / f"library-{turn}", arch, place) for turn in range(rounds)]
    ways = [way for way in done[0] if way != "cosine"]
    rows = [
        {
            "rate": way,
            "files/s": median(each[way].files / each[way].took.wall for each in done),
            "core-ms a file": median(1000 * each[way].took.cpu / each[way].files for each in done),
            "clew is x": median(
                (each["clew"].files / each["clew"].took.wall) / (each[way].files / each[way].took.wall)
                for each in done
            ),
        }
        for way in ways
    ]
    table(rows)
    least = min(each["cosine"] for each in done)
    print(f"cosine of the vectors of clew and of the plain loop at least {least:.5f}\n")
    return {"model": arch or "builtin", "files": count, "rows": rows, "cosine": least}


class Way(NamedTuple):
    """Seconds for a number of files."""

    files: int
    took: Took


def make_ready(arch: str, place: Path) -> str:
    """Write random weights, prepare them, export the tower for the loop of rclip; return the choice."""
    import torch

    from indexer.models.onnx_export import export
    from indexer.models.precision import probe_images
    from indexer.models.resolve import prepare_model
    from retrieval.embedders.torch_towers import ImageTower, load_model

    clew = prepare_model(str(make_checkpoint(arch, place)), arch=arch)
    looks = clew.prepared.manifest.preprocessing
    tower = ImageTower(load_model(clew.prepared.folder), looks).eval()
    export(tower, torch.from_numpy(np.stack(probe_images(looks.size, 2))), place / "whole.onnx")
    return f"chosen: {clew.choice}"


def rate_once(paths: Sequence[Path], library: Path, arch: str | None, place: Path) -> dict[str, Way | float]:
    """Measure each way once, and the least cosine of the library's vectors and the plain loop's.

    The others' loops are given fewer files, where they are slow.
    """
    model = (
        load_embedder("builtin")
        if arch is None
        else resolve_embedder(str(place / f"{arch}.safetensors"), arch=arch)
    )
    some = paths if arch is None else paths[: max(8, len(paths) // 4)]
    pixels = [model.prepare(scaled(path, model.min_image_side)) for path in paths[:32]]
    model.embed_images(pixels), model.embed_texts(["a dog"])  # both towers are loaded now
    forward = median(time_of(lambda: bare(model, pixels)).wall for _ in range(5)) / len(pixels)
    decode = time_of(
        lambda: [model.prepare(scaled(path, model.min_image_side)) for path in paths]
    ).wall / len(paths)
    core_seconds = len(paths) * (decode + cores() * forward)
    indexed = time_of(lambda: update_library([paths[0].parents[1]], library=library, embedder=model))
    loops = plain_loop(model) if arch is None else others.loops(model, place)
    vectors = {}

    def run(name: str) -> None:
        vectors[name] = loops[name](some)

    took = {name: Way(len(some), time_of(lambda name=name: run(name))) for name in loops}
    return {
        "roofline": Way(len(paths), Took(core_seconds / cores(), core_seconds)),
        "clew": Way(len(paths), indexed),
        **took,
        "cosine": float((picture_vectors(library)[: len(some)] * vectors["plain loop"]).sum(axis=1).min()),
    }


def bare(model: Embedder, pixels: Sequence[Pixels]) -> None:
    """Run the bare model on a batch that is ready, all cores on it."""
    if not isinstance(model, OpenClipEmbedder):
        model.embed_images(pixels)
    elif model.choice.precision in EXPORTED_IMAGE_TOWERS:
        session(model).run(None, {"rows": np.stack(pixels)})
    else:
        from retrieval.embedders.torch_towers import run_tower as run_tower

        run_tower(model._torch_towers.image_tower, np.stack(pixels), cores())


@cache
def session(model: OpenClipEmbedder) -> "InferenceSession":
    return model._image_tower._session(cores(), fast_start=False)


def plain_loop(model: Embedder) -> dict[str, Callable[[Sequence[Path]], Vectors]]:
    """Return the loop anyone would write: decode whole, prepare, embed, one at a time."""
    return {
        "plain loop": lambda some: np.concatenate(
            [model.embed_images([model.prepare(others.whole(path))]) for path in some]
        )
    }


def scaled(path: Path, side: int) -> Image.Image:
    picture = Image.open(path)
    picture.draft("RGB", (side, side))
    return picture.convert("RGB")


def picture_vectors(library: Path) -> Vectors:
    catalog = Catalog.open(library)
    return catalog.vectors_of(catalog.space(), catalog.allowed_ids(Filters(frozenset({"image"}))))[1]


def rescan(count: int, rounds: int, place: Path) -> dict[str, object]:
    """Print and return seconds of a look at unchanged files, in the process and as one."""
    dot = draw_jpegs(1, 40, 40, seed=1)[0]
    (place / "dots").mkdir()
    for n in range(count):
        path = place / "dots" / f"{n // 500:04d}" / f"{n:07d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(dot)
    folder, library = place / "dots", place / "dots-library"
    first = run(clew(), "index", folder, "--library", library, "--model", "builtin").took.wall
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
    model = load_embedder("builtin")
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
        library = place / f"small-library-{count}"
        done = run(clew(), "index", folder, "--library", library, "--model", "builtin")
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
    parser.add_argument("--arch", help="an architecture of open_clip, for the rate [the built-in model]")
    parser.add_argument("--avx2", action="store_true", help="play a CPU without AVX-512 and AMX")
    parser.add_argument("--rounds", type=int, default=None, help="[3 of the rate, 5 of the rescan]")
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    given = parser.parse_args()
    if given.smoke:
        given.count, given.files, given.rounds = 16, 1_000, 1
    os.environ.update(ISA if given.avx2 else {})
    jpegs = [path.read_bytes() for path in sorted(given.pictures.glob("*.jp*g"))]
    source = f"{len(jpegs)} pictures of {given.pictures.name}" if jpegs else "drawn pictures"
    print(f"{machine()}; {source}, {given.count} files, rescan {given.files:,}, seed 1\n")
    numbers = {}
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as name:
        place = Path(name)
        if "rate" in given.part:
            jpegs = jpegs or draw_jpegs(8, 3072, 2304, seed=1)
            for arch in (None, "tiny") if given.smoke else (given.arch,):
                numbers[f"rate {arch or 'builtin'}"] = rate(
                    jpegs, given.count, given.rounds or 3, place / (arch or "builtin"), arch
                )
        if "rescan" in given.part:
            numbers["rescan"] = rescan(given.files, given.rounds or 5, place)
        if "memory" in given.part:
            numbers["memory"] = memory((50, 500) if given.smoke else (1_000, 10_000), place)
    emit("index", **numbers)


if __name__ == "__main__":
    main()
