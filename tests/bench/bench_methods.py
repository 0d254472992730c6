"""Compare methods of approximate search for queries by words and by pictures, at the same recall.

    python tests/bench/bench_methods.py --sizes 100000,300000 --dim 512

The vectors are those of images with a gap to the texts, as of CLIP (tests/support/gap_vectors.py). Each
method proposes rows, and their exact vectors, in 16-bit floats in a memory-mapped file, order them. A row is
the fastest combination of a search effort and a number of proposed rows that reaches the recall@10:
`queries/s` of one core, by its processor time, warm, and `bytes`, those in memory for each vector. Where none
reaches it, the row shows the best recall. `x hnsw32` is the rate divided by that of HNSW32 of FAISS. hnswlib
and usearch are compared if they are installed. In the table of codes, all rows are compared, so only `bytes`
and the number of proposed rows, `read`, are of interest.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, thread_time

import faiss
import numpy as np
from common import GapCloud, emit, machine, table

sys.path.insert(0, str(Path(__file__).parents[2]))

from retrieval.types import Ids, Scores, Vectors
from tests.bench.methods.base import Method
from tests.bench.methods.codes import Codes, LearnedProjection
from tests.bench.methods.graphs import ClewGraph, FaissGraph, Hnswlib, QueryGraph, Usearch
from tests.bench.methods.lists import ClewLists, InvertedFile

COUNT = 10
READ = (10, 20, 40, 80, 160, 320)  # rows whose exact vectors are compared
TRAINING_SHARE = 0.1  # texts for training, of the number of images

GRAPHS: dict[str, Callable[[], Method]] = {
    "hnsw32, float32 (FAISS)": FaissGraph,
    "clew: hnsw24, 6 bits": ClewGraph,
    "hnsw24, 6 bits, texts as nodes": lambda: FaissGraph(24, faiss.ScalarQuantizer.QT_6bit, with_texts=True),
    "nsg32 of images, float32": lambda: QueryGraph(with_texts=False),
    "nsg32 with edges from texts": QueryGraph,
    "clew: ivf, sketches and 6 bits": ClewLists,
    "ivf, 8 bits": InvertedFile,
    "ivf, 8 bits, two lists a row": lambda: InvertedFile(lists=2),
    "ivf, 8 bits, centroids of texts": lambda: InvertedFile(fitted=True),
    "ivf, 8 bits, centroids of texts, two lists": lambda: InvertedFile(lists=2, fitted=True),
    "ivf, RaBitQ 4 bits": lambda: InvertedFile("RaBitQ4"),
    "ivf, RaBitQ 4 bits, two lists": lambda: InvertedFile("RaBitQ4", lists=2),
    "hnswlib, M 16, float32": Hnswlib,
    "usearch, M 16, float16": Usearch,
}
PACKAGES = {"hnswlib, M 16, float32": "hnswlib", "usearch, M 16, float16": "usearch"}


def codes_of(dim: int) -> dict[str, Callable[[], Method]]:
    """Return the methods that compare all codes."""
    names = [
        "SQ8",
        "SQ6",
        "SQ4",
        "RaBitQ4",
        "RaBitQ2",
        "RaBitQ1",
        f"PQ{dim // 8}",
        f"OPQ{dim // 8},PQ{dim // 8}",
    ]
    learned = {
        f"{title}, {rank} x 8 bits": (lambda rank=rank, texts=texts: LearnedProjection(rank, texts))
        for title, texts in (("principal components", False), ("learned for texts", True))
        for rank in (dim // 2, dim // 4)
    }
    return {name: (lambda name=name: Codes(name)) for name in names} | learned


@dataclass(frozen=True)
class Data:
    """Vectors of images, in memory and on disk, and queries with their exact best scores."""

    vectors: Vectors
    stored: np.memmap
    texts: Vectors  # for training
    queries: dict[str, Vectors]  # of each mode
    truth: dict[str, Scores]  # (q, COUNT)

    @classmethod
    def draw(cls, count: int, dim: int, queries: int, seed: int, folder: Path) -> "Data":
        """Draw the vectors and compute the truth."""
        images, texts = (GapCloud(count, dim, seed, is_text=is_text) for is_text in (False, True))
        vectors = np.concatenate(list(images.chunks()))
        stored = np.memmap(folder / "vectors", np.float16, "w+", shape=vectors.shape)
        stored[:] = vectors
        vectors = stored.astype(np.float32)
        asked = {"words": texts.queries(queries), "pictures": images.queries(queries)}
        truth = {
            mode: faiss.knn(each, vectors, COUNT, faiss.METRIC_INNER_PRODUCT)[0]
            for mode, each in asked.items()
        }
        training = texts.background(int(TRAINING_SHARE * count))
        return cls(vectors, stored, training, asked, truth)

    def best(self, query: Vectors, rows: Ids) -> Scores:
        """Return the exact best scores among rows."""
        scores = self.stored[rows[rows >= 0]].astype(np.float32) @ query[0]
        return np.sort(scores)[::-1][:COUNT]


def measure(name: str, method: Method, data: Data, target: float) -> dict[str, object]:
    """Build a method, and return its row."""
    started = perf_counter()
    method.build(data.vectors, data.texts)
    row: dict[str, object] = {"method": name, "build s": perf_counter() - started, "bytes": method.bytes}
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    for mode, queries in data.queries.items():
        rate, recall, read = fastest(method, data, mode, queries, target)
        row |= {f"{mode} recall": recall, f"{mode} queries/s": rate, f"{mode} read": read}
    faiss.omp_set_num_threads(threads)
    return row


def fastest(
    method: Method, data: Data, mode: str, queries: Vectors, target: float
) -> tuple[float, float, int]:
    """Return queries/s, recall and rows read of the fastest setting with the recall, else of the best one."""
    reached, best = list[tuple[float, float, int]](), (0.0, 0.0, 0)
    for effort in method.efforts:
        for read in READ:
            rate, recall = run(method, data, queries, data.truth[mode], read, effort)
            best = max(best, (recall, rate, read))
            if recall >= target:
                reached.append((rate, recall, read))
                break
        if len(reached) >= 3:  # greater efforts are slower
            break
    return max(reached) if reached else (best[1], best[0], best[2])


def run(
    method: Method, data: Data, queries: Vectors, truth: Scores, read: int, effort: int
) -> tuple[float, float]:
    """Return the queries/s and the recall of a setting."""
    found = 0
    started = thread_time()
    for at, best in enumerate(truth):
        query = queries[at : at + 1]
        scores = data.best(query, method.search(query, read, effort))
        found += int((scores >= best[-1] - 1e-6).sum())
    seconds = thread_time() - started
    return len(queries) / seconds, min(1.0, found / truth.size)


def compare(methods: dict[str, Callable[[], Method]], data: Data, target: float) -> list[dict[str, object]]:
    """Return the rows of methods; those whose package is missing are left out."""
    rows = []
    for name, make in methods.items():
        if find_spec(PACKAGES.get(name, "faiss")) is None:
            print(f"{name}: not installed")
            continue
        rows.append({"images": len(data.vectors)} | measure(name, make(), data, target))
    return rows


def add_ratios(rows: Sequence[dict[str, object]]) -> None:
    """Add the rates divided by those of HNSW32, if both have the recall."""
    for mode in ("words", "pictures"):
        first = float(str(rows[0][f"{mode} queries/s"]))
        for row in rows:
            row[f"{mode} x hnsw32"] = float(str(row[f"{mode} queries/s"])) / first


def _chosen(methods: dict[str, Callable[[], Method]], only: str) -> dict[str, Callable[[], Method]]:
    return {
        name: make for name, make in methods.items() if any(re.search(each, name) for each in only.split(";"))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--sizes", type=lambda text: [int(each) for each in text.split(",")], default=[100_000]
    )
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", default="", help="methods whose names match one of these regular expressions, split at ;"
    )
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.sizes, args.dim, args.queries = [3_000], 64, 30
        faiss.omp_set_num_threads(1)
    print(f"{machine()}; {args.dim} dimensions, {args.queries} queries, seed {args.seed}\n")
    compared, coded = list[dict[str, object]](), list[dict[str, object]]()
    for count in args.sizes:
        with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
            data = Data.draw(count, args.dim, args.queries, args.seed, Path(folder))
            rows = compare(_chosen(GRAPHS, args.only), data, args.recall)
            if rows:
                add_ratios(rows)
            compared += rows
            coded += compare(_chosen(codes_of(args.dim), args.only), data, args.recall)
    table(compared)
    table(coded)
    emit("methods", seed=args.seed, queries=args.queries, methods=compared, codes=coded)


if __name__ == "__main__":
    main()
