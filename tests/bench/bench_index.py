"""Measure indexing: its rate, a rescan of unchanged files, and its memory.

    python tests/bench/bench_index.py --part rate,sandbox,rescan,memory
    python tests/bench/bench_index.py --part rate --arch ViT-B-32 --count 504 [--avx2]

rate: `update_library` on camera JPEGs against a plain loop (decode at full size, prepare, embed, one image at
a time) and against the roofline cores / (decode + forward): decode is the core-seconds of Pillow's reduced
decoding and of resizing to the input of the model, forward those of the bare model in batches of 32 on all
cores. `cosine` compares the vectors of the library with those of the plain loop. With --arch, the model is
one of open_clip with random weights: the plain loop is that of the README of open_clip in float32, DataLoader
is the way of clip-retrieval (workers that decode, batches of 32, float32), onnxruntime that of rclip (decoded
ahead in threads, batches of 8, float32); these loops run on a quarter of the files.
rescan: `update_library`, and the process `clew index`, on unchanged files against a bare recursive
`os.scandir` with a `stat` of each file, and a Python process that does only that; files in the page cache.
sandbox: `update_library` on camera JPEGs with images decoded in subprocesses, as always, and with the same
functions called in its own threads.
memory: peak of the process `clew index`, also on ten times as many files.
rclip: the processes `clew index` and `rclip`, the real one, with the same random weights, on camera JPEGs and
on small photos, start included. Only if named: it installs rclip from PyPI into an environment of its own.

    python tests/bench/bench_index.py --part rclip --count 500 --rclip-venv ~/rclip
"""

import argparse
import inspect
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
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
from rclip_peer import against_rclip

from indexer import update_library
from indexer.decode.images import decoder as image_decoder
from indexer.models.resolve import resolve_embedder
from retrieval.catalog.reader import Catalog
from retrieval.embedders.base import Embedder, Pixels
from retrieval.embedders.model_cache import EXPORTED_IMAGE_TOWERS
from retrieval.embedders.open_clip import OpenClipEmbedder
from retrieval.embedders.registry import load_embedder
from retrieval.media.limits import DEFAULT_LIMITS
from retrieval.media.sandboxed_calls import decoder_pool
from retrieval.system import cores
from retrieval.types import Filters, Vectors

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CAMERA = Path(__file__).parents[3] / "shared" / "data" / "camera"
SMALL = CAMERA.parent / "flickr8k" / "test"
PARTS = ("rate", "sandbox", "rescan", "memory")  # by default


def rate(jpegs: Sequence[bytes], count: int, rounds: int, place: Path, arch: str | None) -> dict[str, object]:
    """Print and return files per second of clew, the other loops and the roofline, measured alternately."""
    paths = repeat_files(jpegs, count, place / "rate")
    os.environ["XDG_CACHE_HOME"] = str(place / "cache")
    if arch is not None:
        print(alone(make_ready, arch, place), "\n")
    done = [alone(rate_once, paths, place / f"library-{turn}", arch, place) for turn in range(rounds)]
    ways = [way for way in done[0] if way != "cosine"]
    rows = [
        {
            "rate": way,
            "files/s": median(run[way].files / run[way].took.wall for run in done),
            "core-ms per file": median(1000 * run[way].took.cpu / run[way].files for run in done),
            "clew is x": median(
                (run["clew"].files / run["clew"].took.wall) / (run[way].files / run[way].took.wall)
                for run in done
            ),
        }
        for way in ways
    ]
    table(rows)
    min_cosine = min(run["cosine"] for run in done)
    print(f"cosine of the vectors of clew and of the plain loop at least {min_cosine:.5f}\n")
    return {"model": arch or "builtin", "files": count, "rows": rows, "cosine": min_cosine}


class Way(NamedTuple):
    """The times of one way for a number of files."""

    files: int
    took: Took


def make_ready(arch: str, place: Path) -> str:
    """Prepare a model with random weights, and export its tower for the loop of rclip; return the choice."""
    import torch

    from indexer.models.onnx_export import export
    from indexer.models.precision import probe_images
    from indexer.models.resolve import prepare_model
    from retrieval.embedders.torch_towers import ImageTower, load_model

    clew = prepare_model(str(make_checkpoint(arch, place)), arch=arch)
    preprocessing = clew.prepared.manifest.preprocessing
    tower = ImageTower(load_model(clew.prepared.folder), preprocessing).eval()
    export(tower, torch.from_numpy(np.stack(probe_images(preprocessing.size, 2))), place / "image_tower.onnx")
    return f"chosen: {clew.choice}"


def rate_once(paths: Sequence[Path], library: Path, arch: str | None, place: Path) -> dict[str, Way | float]:
    """Measure each way once, and the minimum cosine between the vectors of clew and of the plain loop.

    With an open_clip model the other loops run on fewer files, because they are slow.
    """
    model = (
        load_embedder("builtin")
        if arch is None
        else resolve_embedder(str(place / f"{arch}.safetensors"), arch=arch)
    )
    sample = paths if arch is None else paths[: max(8, len(paths) // 4)]
    pixels = [model.prepare(decode_reduced(path, model.min_image_side)) for path in paths[:32]]
    model.embed_images(pixels), model.embed_texts(["a dog"])  # loads both towers
    forward = median(time_of(lambda: bare(model, pixels)).wall for _ in range(5)) / len(pixels)
    decode = time_of(
        lambda: [model.prepare(decode_reduced(path, model.min_image_side)) for path in paths]
    ).wall / len(paths)
    core_seconds = len(paths) * (decode + cores() * forward)
    indexed = time_of(lambda: update_library([paths[0].parents[1]], library=library, embedder=model))
    loops = plain_loop(model) if arch is None else others.loops(model, place)
    vectors = {}

    def run(name: str) -> None:
        vectors[name] = loops[name](sample)

    took = {name: Way(len(sample), time_of(lambda name=name: run(name))) for name in loops}
    return {
        "roofline": Way(len(paths), Took(core_seconds / cores(), core_seconds)),
        "clew": Way(len(paths), indexed),
        **took,
        "cosine": float((image_vectors(library)[: len(sample)] * vectors["plain loop"]).sum(axis=1).min()),
    }


def bare(model: Embedder, pixels: Sequence[Pixels]) -> None:
    """Run the bare model on a batch of prepared input, with all cores."""
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
    """Return the simplest loop: decode at full size, prepare and embed, one image at a time."""
    return {
        "plain loop": lambda paths: np.concatenate(
            [model.embed_images([model.prepare(others.decode_full(path))]) for path in paths]
        )
    }


def decode_reduced(path: Path, side: int) -> Image.Image:
    image = Image.open(path)
    image.draft("RGB", (side, side))
    return image.convert("RGB")


def sandbox(jpegs: Sequence[bytes], count: int, rounds: int, place: Path) -> dict[str, object]:
    """Print and return files per second with and without subprocesses, measured alternately."""
    paths = repeat_files(jpegs, count, place / "sandbox")
    turns = [alone(sandbox_once, paths, place / f"sandbox-{turn}") for turn in range(rounds)]
    rows = [
        {
            "images decoded in": way,
            "files/s": median(count / turn[way].wall for turn in turns),
            "core-ms per file": median(1000 * turn[way].cpu / count for turn in turns),
            "wall is x": median(turn[way].wall / turn["threads"].wall for turn in turns),
            "core time is x": median(turn[way].cpu / turn["threads"].cpu for turn in turns),
        }
        for way in ("threads", "subprocesses")
    ]
    table(rows)
    return {"files": count, "rows": rows}


def sandbox_once(paths: Sequence[Path], library: Path) -> dict[str, Took]:
    """Measure both ways once, with the processor time of the subprocesses and of their start."""
    model, isolated = load_embedder("builtin"), image_decoder.call_sandboxed

    def index(folder: Path) -> None:
        update_library(paths[0].parents[1], library=folder, embedder=model)
        decoder_pool(DEFAULT_LIMITS).close()

    def call_here(function: Callable[..., object], file: object, *arguments: object, **_: object) -> object:
        return function(file, *arguments)

    took = {}
    for name, way in {"warm-up": isolated, "subprocesses": isolated, "threads": call_here}.items():
        image_decoder.call_sandboxed = way
        before = children_seconds()
        wall, cpu = time_of(partial(index, library.with_name(f"{library.name}-{name}")))
        took[name] = Took(wall, cpu + children_seconds() - before)
    return took


def children_seconds() -> float:
    """Return the processor time of the subprocesses that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def image_vectors(library: Path) -> Vectors:
    catalog = Catalog.open(library)
    return catalog.vectors_of(catalog.space(), catalog.allowed_ids(Filters(frozenset({"image"}))))[1]


def rescan(count: int, rounds: int, place: Path) -> dict[str, object]:
    """Print and return seconds of a rescan of unchanged files, in one process and as a new process."""
    jpeg = draw_jpegs(1, 40, 40, seed=1)[0]
    (place / "small-images").mkdir()
    for n in range(count):
        path = place / "small-images" / f"{n // 500:04d}" / f"{n:07d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg)
    folder, library = place / "small-images", place / "small-images-library"
    first = run(clew(), "index", folder, "--library", library, "--model", "builtin").took.wall
    walk_code = f"import os\n{inspect.getsource(walk)}\nwalk({str(folder)!r})"
    turns = {
        "within a process": alone(rescan_inside, folder, library, rounds),
        "new process": [
            (run(sys.executable, "-c", walk_code).took, run(clew(), "index", "--library", library).took)
            for _ in range(rounds)
        ],
    }
    rows = [{"rescan": name, **compare(times)} for name, times in turns.items()]
    table(rows)
    print(f"{count:,} files; first indexed in {first:.1f} s\n")
    return {"files": count, "first_s": first, "rows": rows}


def rescan_inside(folder: Path, library: Path, rounds: int) -> list[tuple[Took, Took]]:
    """Return the times of the bare walk and of clew, measured alternately, after a warm-up."""
    model = load_embedder("builtin")
    walk(str(folder))

    def turn() -> tuple[Took, Took]:
        bare = time_of(lambda: walk(str(folder)))
        return bare, time_of(lambda: update_library(library=library, embedder=model))

    return [turn() for _ in range(rounds)]


def compare(turns: Sequence[tuple[Took, Took]]) -> dict[str, float]:
    """Return the medians of the walk and of clew, and their ratios."""
    walked, took = (Took(*map(median, zip(*times, strict=True))) for times in zip(*turns, strict=True))
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
    parser.add_argument("--images", type=Path, default=CAMERA, help="a folder of JPEGs; drawn if it has none")
    parser.add_argument("--small-images", type=Path, default=SMALL, help="of the rclip part; else drawn")
    parser.add_argument("--rclip-venv", type=Path, help="with rclip, or to be made [temporary]")
    parser.add_argument("--count", type=int, default=300, help="files of the rate part")
    parser.add_argument("--files", type=int, default=100_000, help="files of the rescan part")
    parser.add_argument("--arch", help="an architecture of open_clip for the rate part [the built-in model]")
    parser.add_argument("--avx2", action="store_true", help="do not use AVX-512 and AMX")
    parser.add_argument("--rounds", type=int, default=None, help="[3 for rate, 5 for rescan]")
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.count, args.files, args.rounds = 16, 1_000, 1
    os.environ.update(ISA if args.avx2 else {})
    jpegs = [path.read_bytes() for path in sorted(args.images.glob("*.jp*g"))]
    source = f"{len(jpegs)} images of {args.images.name}" if jpegs else "drawn images"
    print(f"{machine()}; {source}, {args.count} files, rescan {args.files:,}, seed 1\n")
    numbers = {}
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as name:
        place = Path(name)
        if "rate" in args.part:
            jpegs = jpegs or draw_jpegs(8, 3072, 2304, seed=1)
            for arch in (None, "tiny") if args.smoke else (args.arch,):
                numbers[f"rate {arch or 'builtin'}"] = rate(
                    jpegs, args.count, args.rounds or 3, place / (arch or "builtin"), arch
                )
        if "sandbox" in args.part:
            jpegs = jpegs or draw_jpegs(8, 3072, 2304, seed=1)
            numbers["sandbox"] = sandbox(jpegs, args.count, args.rounds or 3, place)
        if "rclip" in args.part:
            small = [path.read_bytes() for path in sorted(args.small_images.glob("*.jp*g"))[:200]]
            sources = {
                "camera": (jpegs or draw_jpegs(8, 3072, 2304, seed=1), args.count),
                "small": (small or draw_jpegs(200, 640, 480, seed=1), min(200, args.count)),
            }
            venv = args.rclip_venv or place / "venv"
            numbers["rclip"] = against_rclip(sources, args.rounds or 3, place / "rclip", venv)
        if "rescan" in args.part:
            numbers["rescan"] = rescan(args.files, args.rounds or 5, place)
        if "memory" in args.part:
            numbers["memory"] = memory((50, 500) if args.smoke else (1_000, 10_000), place)
    emit("index", **numbers)


if __name__ == "__main__":
    main()
