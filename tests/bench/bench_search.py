"""Measure warm queries on one core: each method of index against exact search, with its recall.

    python tests/bench/bench_search.py --sizes 10000,100000,1000000 --dims 256,512

A drawn library holds n pictures and a tenth as many texts. Of the pictures' index: `file` and `held`, the
bytes a vector on disk and in the memory of a fresh process after its queries; `tuned`, the recall that the
build found. Of each way to ask for pictures: `index`, the bare index; `nearest`, the same with its candidates
scored again by the catalogue's vectors, for all pictures and for a share that a filter lets pass; `answer`,
the whole of `search` over both kinds, places included. The queries are of the same clusters but not in the
library, and others have warmed the pages up. `x exact` is exact numpy search over the same rows divided by
it, in time; `x all` is the time with a filter divided by that without; `first ms` is the first query, which
finds the rows of the ids that pass (the ids are at hand); `x before` is this size divided by the size before.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import TypeVar

import faiss
import numpy as np
from common import Cloud, alone, embedder_of, emit, machine, make_library, resident, table

from indexer.maintenance.build_index import build_indexes
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.query.encoder import EncodedQuery
from retrieval.scoring.ranking import recall, top_k
from retrieval.search.request import SearchRequest
from retrieval.search.vector_search import vector_search
from retrieval.types import Filters, Hit, Ids, Scores, Vectors
from retrieval.vectors.exact import ExactIndex
from retrieval.vectors.space_index import SpaceIndex

Answer = TypeVar("Answer")
COUNT = 10
SHARES = {"image": 10 / 11, "text": 1 / 11}
PASSING = {"50 %": 0.5, "10 %": 0.1, "1 %": 0.01, "0.1 %": 0.001}
FILTERS = {"all": (None, 1.0), **{name: (Filters(under=(name,)), share) for name, share in PASSING.items()}}


def passing(ids: Ids, share: float) -> Ids:
    """Return the ids that a drawn filter lets pass."""
    return ids[np.random.default_rng(2).random(len(ids)) < share]


def time_each(ask: Callable[[Vectors], Answer], queries: Vectors) -> tuple[list[float], list[Answer]]:
    """Return milliseconds and answer of each query."""
    times, answers = [perf_counter()], []
    for at in range(len(queries)):
        answers.append(ask(queries[at : at + 1]))
        times.append(perf_counter())
    return (1000 * np.diff(times)).tolist(), answers


def p50(times: Sequence[float]) -> float:
    return float(np.percentile(times, 50))


def exact(folder: Path, queries: Vectors) -> dict[str, tuple[float, Scores]]:
    """Return median ms and true scores of exact search, for each filter."""
    catalog = Catalog.open(folder)
    space, found = catalog.space(), {}
    ids = catalog.vector_ids(space, "image")
    vectors, at = np.empty((len(ids), space.dim), np.float32), 0
    for some, rows in catalog.vectors_after(space, "image", 0):
        vectors[at : at + len(some)] = rows
        at += len(some)
    for name, (_, share) in FILTERS.items():
        keep = np.isin(ids, passing(ids, share)) if share < 1 else slice(None)
        times, scores = time_each(partial(_best, ExactIndex(ids[keep], vectors[keep])), queries)
        found[name] = p50(times), np.concatenate(scores)
    return found


def _best(index: ExactIndex, query: Vectors) -> Scores:
    return index.search(query, COUNT)[0]


def build_alone(folder: Path, dim: int, method: str) -> dict[str, float]:
    """Build both indexes; return seconds, peak MB of the process, and the status of the image index."""
    with LibraryWriter(folder, lambda _: embedder_of(dim)) as writer:
        begun = perf_counter()
        space = build_indexes(writer, writer.catalog.space(), method)
        seconds = perf_counter() - begun
    peak = getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    file = next(file for file in space.indexes if file.kind == "image")
    said = {"size": file.size, "effort": file.effort, "tuned": file.recall}
    return {"build s": seconds, "peak MB": peak, **said}


def ask_warm(folder: Path, queries: Vectors, truth: dict[str, Scores]) -> dict[str, object]:
    """Run half of the queries to warm up, and time the others: the bare index, then the layers above it."""
    faiss.omp_set_num_threads(1)
    halves = np.array_split(queries, 2)
    catalog = Catalog.open(folder)
    before = resident()
    nearest = SpaceIndex(catalog, catalog.space())
    nearest.unindexed("image")
    rows = [_ask_index(nearest, *halves, truth["all"]), _ask_nearest(nearest, "all", *halves, truth["all"])]
    held = resident() - before
    ids = catalog.vector_ids(nearest.space, "image")
    nearest._allowed_ids.update((narrow, passing(ids, share)) for narrow, share in FILTERS.values() if narrow)
    rows += [_ask_nearest(nearest, among, *halves, truth[among]) for among in PASSING]
    rows.append(_ask_whole(nearest, *halves))
    return {"rows": rows, "held": held, "held after filters": resident() - before}


def _ask_index(nearest: SpaceIndex, warm: Vectors, asked: Vectors, truth: Scores) -> dict[str, object]:
    def ask(query: Vectors) -> Ids:
        return nearest.indexes["image"].search(query, COUNT)[1][0]

    time_each(ask, warm)
    times, found = time_each(ask, asked)
    there = [nearest.catalog.vectors_of(nearest.space, ids) for ids in found]
    pairs = zip(asked, there, strict=True)
    scores = [top_k(query[None] @ vectors.T, ids, COUNT)[0] for query, (ids, vectors) in pairs]
    return {"of": "index", "among": "all", "times": times, "recall": recall(np.concatenate(scores), truth)}


def _ask_nearest(
    nearest: SpaceIndex, among: str, warm: Vectors, asked: Vectors, truth: Scores
) -> dict[str, object]:
    def ask(query: Vectors) -> Scores:
        return nearest.search(query, "image", COUNT, FILTERS[among][0])[0]

    first = time_each(ask, warm)[0][0]
    times, found = time_each(ask, asked)
    right = recall(np.stack(found), truth)
    return {"of": "nearest", "among": among, "times": times, "recall": right, "first ms": first}


def _ask_whole(nearest: SpaceIndex, warm: Vectors, asked: Vectors) -> dict[str, object]:
    def ask(query: Vectors) -> list[Hit]:
        return vector_search(SearchRequest(nearest, EncodedQuery(query, "words", ())), COUNT)

    first = time_each(ask, warm)[0][0]
    return {"of": "answer", "among": "all", "times": time_each(ask, asked)[0], "first ms": first}


def measure(
    cloud: Cloud, methods: Sequence[str], queries: int, place: Path
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return a row for each index and a row for each way to ask it."""
    count = round(cloud.count * SHARES["image"])
    size: dict[str, object] = {"n": count, "dim": cloud.dim}
    folder, asked = place / f"{cloud.count}-{cloud.dim}", cloud.queries(2 * queries)
    alone(make_library, folder, cloud, SHARES)
    truth = alone(exact, folder, asked[queries:], threads=1)
    indexes, questions = [], []
    for method in methods:
        built = alone(build_alone, folder, cloud.dim, method)
        done = alone(
            ask_warm, folder, asked, {name: scores for name, (_, scores) in truth.items()}, threads=1
        )
        bytes_ = {"file": built.pop("size"), "held": done["held"], "+ filters": done["held after filters"]}
        each = {name: held / count for name, held in bytes_.items()}
        indexes.append({**size, "method": method, **built, **each})
        unfiltered = p50(next(row["times"] for row in done["rows"] if row["of"] == "nearest"))
        for row in done["rows"]:
            times = row.pop("times")
            speed = {"p50 ms": p50(times), "p95 ms": float(np.percentile(times, 95))}
            asking = {"of": row.pop("of"), "among": row["among"], **speed, "recall": row.get("recall")}
            ratio = {"x exact": truth[row["among"]][0] / speed["p50 ms"], "x all": None}
            if row["among"] in PASSING:
                ratio["x all"] = speed["p50 ms"] / unfiltered
            questions.append({**size, "method": method, **asking, **ratio, "first ms": row.get("first ms")})
    shutil.rmtree(folder)
    return indexes, questions


def add_growth(rows: Sequence[dict[str, object]], what: str) -> None:
    """Add to each row how its number compares with that of the size before."""
    before: dict[object, float] = {}
    for row in rows:
        key = tuple(row.get(name) for name in ("dim", "method", "of", "among"))
        row["x before"] = row[what] / before[key] if key in before else None
        before[key] = row[what]


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
    given = parser.parse_args()
    if given.smoke:
        given.sizes, given.dims, given.queries = [5_000], [64], 50
    print(
        f"{machine()}; sizes {given.sizes}, dims {given.dims}, {given.queries} queries, seed {given.seed}\n"
    )
    indexes, questions = [], []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        for dim in given.dims:
            for count in given.sizes:
                built, asked = measure(
                    Cloud(count + count // 10, dim, given.seed), given.methods, given.queries, Path(place)
                )
                indexes += built
                questions += asked
    add_growth(indexes, "build s")
    add_growth(questions, "p50 ms")
    table(indexes)
    table(questions)
    emit("search", seed=given.seed, queries=given.queries, indexes=indexes, questions=questions)


if __name__ == "__main__":
    main()
