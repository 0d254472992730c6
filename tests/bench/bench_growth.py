"""Measure what a library costs as it grows: build, open, search, filter, add and delete.

    python tests/bench/bench_growth.py --sizes 10000,100000,1000000 --dim 512 --adds 3000,10000,30000

Synthetic libraries of images, with a gap to the vectors of texts. Rows of each size: `build`, the first
build; `add`, the update of the index files after more vectors, without the time in which these are written to
the catalog; `delete`, the same after some are deleted; `one file`, a complete build at the end, for
comparison. Columns: `of build`, the seconds divided by those of the first row, by processor time; `files`,
the vectors of each index file; `tuned`, their effort for words and recall; `open s`, to open the library and
give the first answer in a new process; `reopen ms`, to open it again in a process that has read it; then the
times and recall@10 of queries by words, warm, with one thread; `filter ms`, the same among 1 % of the images;
`MB`, the memory of the process that searched, with the pages of the files that it has read. New vectors get a
file when more than 10,000 have none.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Literal

import faiss
import numpy as np
from bench_search import COUNT, FILTERS, allowed_ids, p50, time_each
from common import GapCloud, Took, alone, emit, machine, resident, save_background, table, time_of

from indexer.maintenance.build_index import build_if_due, build_indexes
from indexer.maintenance.tune_index import GroundTruth
from indexer.store.spaces import active_space
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table
from retrieval.scoring.ranking import recall
from retrieval.types import IndexMethod, Scores, Vectors
from retrieval.vectors.space_index import SpaceIndex
from tests.support.vector_library import drawn_embedder, insert_vectors

BACKGROUND_QUERIES = 600
CHUNK = 50_000
Method = IndexMethod | Literal["auto"]


def insert(folder: Path, cloud: GapCloud, first: int, last: int) -> None:
    """Write the vectors number `first` to `last` of a cloud to the catalog, as images."""
    skipped = (first - 1) // CHUNK
    with LibraryWriter(folder, lambda _: drawn_embedder(cloud.dim)) as writer:
        at = 1 + skipped * CHUNK
        for chunk in cloud.chunks(CHUNK, skipped):
            ids = range(max(first, at), min(last + 1, at + len(chunk)))
            insert_vectors(writer, ids, dict(enumerate(chunk, at - 1)))
            at += len(chunk)
            if at > last:
                break


def save_target(folder: Path, recall: float | None) -> None:
    """Save the recall that the indexes are tuned to, None for that of a new library."""
    with LibraryWriter(folder, lambda _: drawn_embedder(1)) as writer:
        settings = writer.settings()
        writer.save_settings(replace(settings, target_recall=recall or settings.target_recall))


def delete(folder: Path, dim: int, count: int) -> None:
    """Delete images, evenly spread over the library."""
    with LibraryWriter(folder, lambda _: drawn_embedder(dim)) as writer:
        ids = writer.catalog.vector_ids(active_space(writer.catalog), "image")
        doomed = ids[np.linspace(0, len(ids) - 1, count, dtype=np.int64)]
        with writer.db.atomic():
            for table_, column in (
                (vectors_table(writer.space_id), "segment"),
                ("segments", "id"),
                ("contents", "id"),
            ):
                writer.db.conn.executemany(
                    f"DELETE FROM {table_} WHERE {column} = ?", ((id_,) for id_ in doomed.tolist())
                )


def update(folder: Path, dim: int, method: Method | None = None) -> Took:
    """Return the time in which the index files that are due are written."""
    with LibraryWriter(folder, lambda _: drawn_embedder(dim)) as writer:
        return time_of(lambda: build_if_due(writer, method))


def rebuild(folder: Path, dim: int, method: Method) -> Took:
    """Return the time in which one file of all vectors is written."""
    chosen = None if method == "auto" else method
    with LibraryWriter(folder, lambda _: drawn_embedder(dim)) as writer:
        return time_of(lambda: build_indexes(writer, active_space(writer.catalog), chosen))


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
    memory = resident() / 1e6
    filters, share = FILTERS["1 %"]
    index._allowed_ids[filters] = allowed_ids(catalog.vector_ids(index.space, "image"), share)

    def search_filtered(query: Vectors) -> Scores:
        return index.search(query, "image", COUNT, filters, "words")[0]

    time_each(search_filtered, warm)
    filtered, _ = time_each(search_filtered, queries)
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
        "filter ms": p50(filtered),
        "MB": memory,
    }


def grow(cloud: GapCloud, args: argparse.Namespace, size: int, adds: list[int]) -> list[dict[str, object]]:
    """Return the rows of a library that begins with `size` vectors."""
    texts = replace(cloud, is_text=True)
    queries, last, rows = texts.queries(2 * args.queries), size, []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        folder = (args.keep or Path(place)) / f"{args.method}-{size}"
        alone(insert, folder, cloud, 1, last)
        alone(save_target, folder, args.recall)
        alone(save_background, folder, texts.background(BACKGROUND_QUERIES))

        def add_row(step: str, count: int, took: Took, first: Took) -> None:
            share = took.cpu / first.cpu
            row = {"size": size, "step": step, "vectors": count, "s": took.wall, "of build": share}
            rows.append(row | alone(measure, folder, queries, threads=1))

        first = alone(update, folder, args.dim, args.method)
        add_row("build", last, first, first)
        for count in adds:
            alone(insert, folder, cloud, last + 1, last + count)
            last += count
            add_row("add", count, alone(update, folder, args.dim), first)
        deleted = last // 100
        alone(delete, folder, args.dim, deleted)
        add_row("delete", deleted, alone(update, folder, args.dim), first)
        if not args.no_rebuild:
            add_row("one file", last - deleted, alone(rebuild, folder, args.dim, args.method), first)
    return rows


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=[100_000])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--adds", type=numbers, help="default: a hundredth, then 10,000 three times")
    parser.add_argument("--method", default="hnsw", choices=["auto", "flat", "hnsw", "ivf"])
    parser.add_argument("--recall", type=float, help="target of the tuning (default: that of a library)")
    parser.add_argument("--no-rebuild", action="store_true", help="leave out the row `one file`")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder in which the libraries are left")
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.sizes, args.dim, args.queries, args.adds = [12_000], 64, 50, [120, 12_000]
    print(f"{machine()}; {args.dim} dimensions, {args.method}, seed {args.seed}\n")
    rows = []
    for size in args.sizes:
        adds = args.adds or [size // 100, 10_000, 10_000, 10_000]
        rows += grow(GapCloud(size + sum(adds), args.dim, args.seed), args, size, adds)
        table(rows[-2 - len(adds) - (not args.no_rebuild) :])
    emit("growth", dim=args.dim, method=args.method, seed=args.seed, rows=rows)


if __name__ == "__main__":
    main()
