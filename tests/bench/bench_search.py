"""Measure warm queries on one core: each index method against exact search, with its recall.

    python tests/bench/bench_search.py --sizes 10000,100000,1000000 --dims 256,512

A synthetic library has n images and a tenth as many texts, whose vectors have a gap between them. Columns of
the image indexes: `file` and `memory`, bytes per vector on disk and in the memory of a new process after its
queries; `words` and `picture`, the effort and the recall that the build measured for each mode. Rows of the
queries for images, by words and by pictures: `index`, the bare index; `rescored`, the same with its
candidates scored again by the vectors of the catalog, among all images or those that a filter allows; `as
picture`, the same with the effort for pictures; `search`, the complete search over both kinds, including
paths. The queries are of the same clusters as the library but not in it, and run after others that warm the
caches. `x exact` is the time of exact numpy search over the same
rows divided by this time; `x all` is the time with a filter divided by that without; `first ms` is the first
query, which looks up the rows of the allowed ids; `x before` is this size divided by the size before.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import TypeVar

import faiss
import numpy as np
from common import GapCloud, alone, embedder_of, emit, machine, make_library, resident, save_background, table

from indexer.maintenance.build_index import build_indexes
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.query.encoder import EncodedQuery
from retrieval.scoring.calibration import QueryMode
from retrieval.scoring.ranking import recall, top_k
from retrieval.search.request import SearchRequest
from retrieval.search.vector_search import vector_search
from retrieval.types import Filters, Hit, Ids, Scores, Vectors
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.space_index import SpaceIndex
from retrieval.vectors.tuned_index import TunedIndex

Answer = TypeVar("Answer")
COUNT, BACKGROUND_QUERIES = 10, 600
SHARES = {"image": 10 / 11, "text": 1 / 11}
FILTER_SHARES = {"50 %": 0.5, "10 %": 0.1, "1 %": 0.01, "0.1 %": 0.001}
FILTERS = {
    "all": (None, 1.0),
    **{name: (Filters(under=(name,)), share) for name, share in FILTER_SHARES.items()},
}


def allowed_ids(ids: Ids, share: float) -> Ids:
    """Return the ids that a synthetic filter allows, a share of all."""
    return ids[np.random.default_rng(2).random(len(ids)) < share]


def time_each(search: Callable[[Vectors], Answer], queries: Vectors) -> tuple[list[float], list[Answer]]:
    """Return the milliseconds and the answer of each query."""
    times, answers = [perf_counter()], []
    for at in range(len(queries)):
        answers.append(search(queries[at : at + 1]))
        times.append(perf_counter())
    return (1000 * np.diff(times)).tolist(), answers


def p50(times: Sequence[float]) -> float:
    return float(np.percentile(times, 50))


def exact(folder: Path, queries: Vectors) -> dict[str, tuple[float, Scores]]:
    """Return median ms and true scores of exact search, for each filter."""
    catalog = Catalog.open(folder)
    space, results = catalog.space(), {}
    ids = catalog.vector_ids(space, "image")
    vectors, at = np.empty((len(ids), space.dim), np.float32), 0
    for chunk_ids, rows in catalog.vectors_after(space, "image", 0):
        vectors[at : at + len(chunk_ids)] = rows
        at += len(chunk_ids)
    for name, (_, share) in FILTERS.items():
        keep = np.isin(ids, allowed_ids(ids, share)) if share < 1 else slice(None)
        times, scores = time_each(partial(_best, ExactIndex(ids[keep], vectors[keep])), queries)
        results[name] = p50(times), np.concatenate(scores)
    return results


def _best(index: ExactIndex, query: Vectors) -> Scores:
    return index.search(query, COUNT)[0]


def build_alone(folder: Path, dim: int, method: str) -> dict[str, float]:
    """Build both indexes; return seconds, peak MB of the process, and the status of the image index."""
    with LibraryWriter(folder, lambda _: embedder_of(dim)) as writer:
        start = perf_counter()
        space = build_indexes(writer, writer.catalog.space(), method)
        seconds = perf_counter() - start
    peak = getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    file = next(file for file in space.indexes if file.kind == "image")
    tuned = {each.query_mode: f"{each.effort} {each.recall:.4f}" for each in file.tunings}
    return {"build s": seconds, "peak MB": peak, "size": file.size, **tuned}


def measure_warm(
    folder: Path, queries: Vectors, truth: dict[str, Scores], mode: QueryMode
) -> dict[str, object]:
    """Run half of the queries to warm up, and time the others: the bare index, then the layers above it."""
    faiss.omp_set_num_threads(1)
    halves = np.array_split(queries, 2)
    catalog = Catalog.open(folder)
    before = resident()
    space_index = SpaceIndex(catalog, catalog.space())
    space_index.unindexed("image")
    rows = [
        _measure_index(space_index, *halves, truth["all"], mode),
        _measure_rescored(space_index, "all", *halves, truth["all"], mode),
    ]
    memory = resident() - before
    ids = catalog.vector_ids(space_index.space, "image")
    space_index._allowed_ids.update(
        (filters, allowed_ids(ids, share)) for filters, share in FILTERS.values() if filters
    )
    rows += [_measure_rescored(space_index, among, *halves, truth[among], mode) for among in FILTER_SHARES]
    if mode != "picture":
        row = _measure_rescored(space_index, "all", *halves, truth["all"], "picture")
        rows.append({**row, "of": "as picture"})
    rows.append(_measure_search(space_index, *halves, mode))
    return {"rows": rows, "memory": memory, "memory after filters": resident() - before}


def _measure_index(
    space_index: SpaceIndex, warm: Vectors, queries: Vectors, truth: Scores, mode: QueryMode
) -> dict[str, object]:
    ((file, opened),) = space_index.indexes["image"]
    index = TunedIndex.of_mode(opened, file, mode)

    def search(query: Vectors) -> Ids:
        return index.search(query, COUNT)[1][0]

    time_each(search, warm)
    times, found = time_each(search, queries)
    candidates = [space_index.catalog.vectors_of(space_index.space, ids) for ids in found]
    pairs = zip(queries, candidates, strict=True)
    scores = [top_k(query[None] @ vectors.T, ids, COUNT)[0] for query, (ids, vectors) in pairs]
    return {"of": "index", "among": "all", "times": times, "recall": recall(np.concatenate(scores), truth)}


def _measure_rescored(
    space_index: SpaceIndex, among: str, warm: Vectors, queries: Vectors, truth: Scores, mode: QueryMode
) -> dict[str, object]:
    def search(query: Vectors) -> Scores:
        return space_index.search(query, "image", COUNT, FILTERS[among][0], mode)[0]

    first = time_each(search, warm)[0][0]
    times, found = time_each(search, queries)
    share = recall(np.stack(found), truth)
    return {"of": "rescored", "among": among, "times": times, "recall": share, "first ms": first}


def _measure_search(
    space_index: SpaceIndex, warm: Vectors, queries: Vectors, mode: QueryMode
) -> dict[str, object]:
    def search(query: Vectors) -> list[Hit]:
        return vector_search(SearchRequest(space_index, EncodedQuery(query, mode, ())), COUNT)

    first = time_each(search, warm)[0][0]
    return {"of": "search", "among": "all", "times": time_each(search, queries)[0], "first ms": first}


def measure(
    cloud: GapCloud, methods: Sequence[str], query_count: int, place: Path
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return a row for each index, and a row for each kind of query."""
    count = round(cloud.count * SHARES["image"])
    size: dict[str, object] = {"n": count, "dim": cloud.dim}
    folder, texts = place / f"{cloud.count}-{cloud.dim}", replace(cloud, is_text=True)
    queries = {"words": texts.queries(2 * query_count), "picture": cloud.queries(2 * query_count)}
    alone(make_library, folder, cloud, SHARES, None, texts)
    alone(save_background, folder, texts.background(BACKGROUND_QUERIES))
    truths = {mode: alone(exact, folder, rows[query_count:], threads=1) for mode, rows in queries.items()}
    indexes, query_rows = [], []
    for method in methods:
        built, bytes_ = alone(build_alone, folder, cloud.dim, method), {}
        for mode, truth in truths.items():
            scores = {name: scores for name, (_, scores) in truth.items()}
            done = alone(measure_warm, folder, queries[mode], scores, mode, threads=1)
            bytes_ = bytes_ or {"memory": done["memory"], "+ filters": done["memory after filters"]}
            query_rows += [
                {**size, "method": method, "query": mode, **row} for row in _shown_rows(done["rows"], truth)
            ]
        per_vector = {name: size_ / count for name, size_ in ({"file": built.pop("size")} | bytes_).items()}
        indexes.append({**size, "method": method, **built, **per_vector})
    shutil.rmtree(folder)
    return indexes, query_rows


def _shown_rows(
    measured: Sequence[dict[str, object]], truth: dict[str, tuple[float, Scores]]
) -> list[dict[str, object]]:
    """Return a row of each measurement with its median time and ratios."""
    unfiltered, rows = p50(next(row["times"] for row in measured if row["of"] == "rescored")), []
    for row in measured:
        speed = {"p50 ms": p50(row["times"]), "p95 ms": float(np.percentile(row["times"], 95))}
        ratio = {"x exact": truth[row["among"]][0] / speed["p50 ms"], "x all": None}
        if row["among"] in FILTER_SHARES:
            ratio["x all"] = speed["p50 ms"] / unfiltered
        measures = {"of": row["of"], "among": row["among"], **speed, "recall": row.get("recall")}
        rows.append({**measures, **ratio, "first ms": row.get("first ms")})
    return rows


def add_growth(rows: Sequence[dict[str, object]], column: str) -> None:
    """Add the ratio of a column to that of the previous size."""
    before: dict[object, float] = {}
    for row in rows:
        key = tuple(row.get(name) for name in ("dim", "method", "query", "of", "among"))
        row["x before"] = row[column] / before[key] if key in before else None
        before[key] = row[column]


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dims", type=numbers, default=[256, 512])
    parser.add_argument("--methods", type=lambda text: text.split(","), default=["flat", "hnsw", "ivf"])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.sizes, args.dims, args.queries = [5_000], [64], 50
    print(f"{machine()}; sizes {args.sizes}, dims {args.dims}, {args.queries} queries, seed {args.seed}\n")
    indexes, query_rows = [], []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        for dim in args.dims:
            for count in args.sizes:
                built, rows = measure(
                    GapCloud(count + count // 10, dim, args.seed), args.methods, args.queries, Path(place)
                )
                indexes += built
                query_rows += rows
    add_growth(indexes, "build s")
    add_growth(query_rows, "p50 ms")
    table(indexes)
    table(query_rows)
    emit("search", seed=args.seed, queries=args.queries, indexes=indexes, rows=query_rows)


if __name__ == "__main__":
    main()
