"""Measure a library that grows: many vectors with a complete build, and a few that are added to them.

    python tests/bench/bench_growth.py --size 300000 --dim 512 --adds 3000,10000,10000,30000

A synthetic library of images, with a gap to the vectors of texts. Rows: `build`, the first build; `add`, the
update of the index files after more vectors, without the time in which these are written to the catalog; `one
file`, a complete build at the end, for comparison. Columns: `of build`, the seconds divided by those of the
first row, by processor time; `files`, the vectors of each index file; `tuned`, their effort for words and
recall; `open s`, to open the library and give the first answer in a new process; `reopen ms`, to open it
again in a process that has read it; then the times and recall@10 of queries by words, warm, with one thread.
New vectors get a file when more than 10,000 have none.
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import faiss
import numpy as np
from bench_search import COUNT, p50, time_each
from common import GapCloud, Took, alone, emit, machine, save_background, table, time_of

from indexer.maintenance.build_index import build_if_due, build_indexes
from indexer.maintenance.tune_index import GroundTruth
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.scoring.ranking import recall
from retrieval.types import Scores, Vectors
from retrieval.vectors.space_index import SpaceIndex
from tests.support.vector_library import drawn_embedder, insert_vectors

BACKGROUND_QUERIES = 600


def insert(folder: Path, cloud: GapCloud, first: int, last: int) -> None:
    """Write the vectors number `first` to `last` of a cloud to the catalog, as images."""
    with LibraryWriter(folder, lambda _: drawn_embedder(cloud.dim)) as writer:
        at = 1
        for chunk in cloud.chunks():
            ids = range(max(first, at), min(last + 1, at + len(chunk)))
            insert_vectors(writer, ids, dict(enumerate(chunk, at - 1)))
            at += len(chunk)


def update(folder: Path, dim: int, method: str | None = None) -> Took:
    """Return the time in which the index files that are due are written."""
    with LibraryWriter(folder, lambda _: drawn_embedder(dim)) as writer:
        return time_of(lambda: build_if_due(writer, method))


def rebuild(folder: Path, dim: int, method: str) -> Took:
    """Return the time in which one file of all vectors is written."""
    with LibraryWriter(folder, lambda _: drawn_embedder(dim)) as writer:
        return time_of(lambda: build_indexes(writer, active_space(writer.catalog), method))


def measure(folder: Path, queries: Vectors) -> dict[str, object]:
    """Open the library, and time queries by words after as many others."""
    faiss.omp_set_num_threads(1)
    warm, queries = np.array_split(queries, 2)
    start = perf_counter()
    catalog = Catalog.open(folder)
    index = SpaceIndex(catalog, catalog.space())

    def search(query: Vectors) -> Scores:
        return index.search(query, "image", COUNT, mode="words")[0]

    search(warm[:1])
    opened = perf_counter() - start
    start = perf_counter()
    index = SpaceIndex(catalog, catalog.space(), index)
    reopened = perf_counter() - start
    time_each(search, warm)
    times, found = time_each(search, queries)
    truth = GroundTruth(queries)
    for _, vectors in catalog.vectors_after(index.space, "image", 0):
        truth.update(vectors)
    return {
        "files": " ".join(f"{file.count:,}:{file.method}" for file, _ in index.indexes["image"]),
        "tuned": " ".join(
            f"{file.tunings[0].effort}:{file.tunings[0].recall:.4f}" for file, _ in index.indexes["image"]
        ),
        "unindexed": len(index.unindexed("image")),
        "open s": opened,
        "reopen ms": 1000 * reopened,
        "p50 ms": p50(times),
        "p95 ms": float(np.percentile(times, 95)),
        "recall": recall(np.stack(found), truth.scores),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--adds", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--method", default="hnsw", choices=["flat", "hnsw", "ivf"])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.size, args.dim, args.queries, args.adds = 12_000, 64, 50, [120, 12_000]
    args.adds = args.adds or [args.size // 100, 10_000, 10_000, 10_000]
    print(f"{machine()}; {args.size:,} x {args.dim}, {args.method}, seed {args.seed}\n")
    cloud = GapCloud(args.size + sum(args.adds), args.dim, args.seed)
    texts = GapCloud(cloud.count, args.dim, args.seed, is_text=True)
    queries, last, rows = texts.queries(2 * args.queries), args.size, []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        folder = Path(place) / "library"
        alone(insert, folder, cloud, 1, last)
        alone(save_background, folder, texts.background(BACKGROUND_QUERIES))
        first = alone(update, folder, args.dim, args.method)
        rows.append(_row("build", last, first, first, _measured(folder, queries)))
        for count in args.adds:
            alone(insert, folder, cloud, last + 1, last + count)
            last += count
            took = alone(update, folder, args.dim)
            rows.append(_row("add", count, took, first, _measured(folder, queries)))
        took = alone(rebuild, folder, args.dim, args.method)
        rows.append(_row("one file", 0, took, first, _measured(folder, queries)))
    table(rows)
    emit("growth", size=args.size, dim=args.dim, method=args.method, seed=args.seed, rows=rows)


def _row(step: str, added: int, took: Took, first: Took, measured: dict[str, object]) -> dict[str, object]:
    return {"step": step, "added": added, "s": took.wall, "of build": took.cpu / first.cpu, **measured}


def _measured(folder: Path, queries: Vectors) -> dict[str, object]:
    return alone(measure, folder, queries, threads=1)


if __name__ == "__main__":
    main()
