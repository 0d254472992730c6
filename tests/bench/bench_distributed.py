"""Measure embedding into shards against plain indexing, and the import of shards.

index: a new library of the photos with the built-in model. shards: the same photos in this process, in two
processes, and with two workers of a local Ray cluster, whose start is not counted. import: those shards into
a new library. `correct` is the share of photos found with the same score as in the indexed library; of
shards, the share of files with the bytes of the first run. The workers share the cores of one machine.
"""

import argparse
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

from common import Took, draw_jpegs, emit, machine, repeat_files, table, time_of

from indexer import ShardOptions, embed_shards, import_vectors, update_library
from indexer.distributed.ray_pool import RayCluster
from retrieval import Library
from retrieval.embedders.registry import load_embedder

QUERY = "a red shape"
WORKERS = 2


def scores(folder: Path, count: int) -> dict[str, float]:
    """Return file name -> score."""
    with Library.open(folder) as library:
        return {hit.path.name: hit.score for hit in library.search(QUERY, kind="image", count=count)}


def share_of_equal_shards(first: Path, second: Path) -> float:
    paths = sorted(first.iterdir())
    equal = [path.read_bytes() == (second / path.name).read_bytes() for path in paths]
    return sum(equal) / len(paths)


def measure(count: int, rounds: int, side: int, place: Path) -> list[dict[str, object]]:
    """Return a row per way: photos per second, ratio to plain indexing, and what is equal."""
    model = load_embedder("builtin")
    photos = place / "photos"
    repeat_files(draw_jpegs(min(count, 100), side, side * 3 // 4, seed=1), count, photos)
    per_shard = max(1, count // 8)
    ways = {
        "shards, this process": ShardOptions(files_per_shard=per_shard),
        "shards, 2 processes": ShardOptions(files_per_shard=per_shard, workers=WORKERS),
        "shards, 2 Ray workers": ShardOptions(files_per_shard=per_shard, workers=WORKERS, ray="local"),
    }
    times: dict[str, list[Took]] = {name: [] for name in ("index", *ways, "import")}
    with closing(RayCluster("local", WORKERS)):
        for turn in range(rounds):
            index = partial(update_library, [photos], library=place / f"indexed-{turn}", embedder=model)
            times["index"].append(time_of(index))
            for name, options in ways.items():
                out = place / f"{name}-{turn}"
                embed = partial(embed_shards, photos, out, model="builtin", options=options)
                times[name].append(time_of(embed))
            shards, library = place / f"{next(iter(ways))}-{turn}", place / f"imported-{turn}"
            import_ = partial(import_vectors, shards, library=library, embedder=model)
            times["import"].append(time_of(import_))
    wall = {name: median(took.wall for took in taken) for name, taken in times.items()}
    truth, found = scores(place / "indexed-0", count), scores(place / "imported-0", count)
    correct = {"index": 1.0, "import": sum(found.get(name) == score for name, score in truth.items()) / count}
    first = place / f"{next(iter(ways))}-0"
    correct |= {name: share_of_equal_shards(first, place / f"{name}-0") for name in ways}
    return [
        {
            "way": name,
            "photos/s": count / wall[name],
            "of index": wall["index"] / wall[name],
            "correct": correct[name],
        }
        for name in times
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=4_000, help="photos")
    parser.add_argument("--side", type=int, default=640, help="pixels of the longer side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.count, args.side, args.rounds = 24, 80, 1
    print(f"{machine()}\n{args.count:,} JPEGs of {args.side} pixels, built-in model\n")
    with tempfile.TemporaryDirectory() as place:
        rows = measure(args.count, args.rounds, args.side, Path(place))
    table(rows)
    emit("distributed", files=args.count, side=args.side, rounds=args.rounds, rows=rows)


if __name__ == "__main__":
    main()
