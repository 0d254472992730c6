"""Measure publishing to a Milvus server, and searches there against the index files of the same library.

    python tests/bench/bench_milvus.py --sizes 10000,100000 --servers lite,standalone

A synthetic library has n images. Servers: `lite`, milvus-lite as a process; `standalone`, the server of the
package milvus in its own network namespace, which takes part if it can run; or the address of any server.
Columns of a publish: `vectors/s` of the first one, `check rows/s` of a comparison with the catalog, and
`delete s`, a publish after a hundredth of the images was deleted. Rows of a search: the 10 best of all images
or of those that a filter allows, by SpaceIndex, with vectors of the catalog; `local` uses the index files.
`Strong` waits until the server has all earlier writes, as for 10 minutes after a publish; `Bounded` does not.
`recall` is against exact search, `x local` the time divided by that of `local` in the same run.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

import numpy as np
from common import Cloud, embedder_of, emit, machine, make_library, table

from indexer import publish_library
from indexer.maintenance.build_index import build_indexes
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.scoring.ranking import recall, top_k
from retrieval.types import Filters, Ids, Scores, Vectors
from retrieval.vectors.milvus import published_space
from retrieval.vectors.milvus.published_space import PublishedSpace, PublishedSpaces
from retrieval.vectors.space_index import SpaceIndex
from tests.support.milvus_servers import has_standalone, lite_server, standalone_server
from tests.support.published_library import delete_segments

COUNT = 10
SLOWEST_SECONDS = 300.0  # that a query may take; a search of the command gives up earlier
FILTER_SHARES = {"all": 1.0, "50 %": 0.5, "10 %": 0.1, "1 %": 0.01}
FILTERS = {name: Filters(under=(name,)) for name in FILTER_SHARES}


def allowed_ids(ids: Ids, share: float) -> Ids:
    """Return the ids that a synthetic filter allows, a share of all."""
    return ids[np.random.default_rng(2).random(len(ids)) < share]


def exact_scores(folder: Path, queries: Vectors) -> dict[str, Scores]:
    """Return the best scores of exact search for each filter."""
    catalog = Catalog.open(folder)
    chunks = list(catalog.vectors_after(catalog.space(), "image", 0))
    ids, vectors = np.concatenate([ids for ids, _ in chunks]), np.concatenate([rows for _, rows in chunks])
    scores = queries @ vectors.T
    catalog.close()
    keep = {name: np.isin(ids, allowed_ids(ids, share)) for name, share in FILTER_SHARES.items()}
    return {name: top_k(scores[:, kept], ids[kept], COUNT)[0] for name, kept in keep.items()}


def measure_searches(
    folder: Path, published: PublishedSpace | None, queries: Vectors, truth: dict[str, Scores]
) -> Iterator[dict[str, object]]:
    """Yield a row for each filter; the first query of each is not timed."""
    catalog = Catalog.open(folder)
    index = SpaceIndex(catalog, catalog.space(), None, published)
    ids = catalog.vector_ids(index.space, "image")
    for name, share in FILTER_SHARES.items():
        index._allowed_ids[FILTERS[name]] = allowed_ids(ids, share)
        filters = None if name == "all" else FILTERS[name]
        index.search(queries[:1], "image", COUNT, filters)
        times, found = [], []
        for query in queries:
            start = perf_counter()
            found.append(index.search(query[None], "image", COUNT, filters)[0])
            times.append(1_000 * (perf_counter() - start))
        row = {"among": name, "p50 ms": float(np.median(times)), "p95 ms": float(np.percentile(times, 95))}
        yield row | {"recall": recall(np.stack(found), truth[name])}
    if index.problem:
        raise RuntimeError(index.problem)
    catalog.close()


def measure_server(folder: Path, name: str, address: str) -> dict[str, object]:
    """Publish the library; return the speed."""
    published = publish_library(address, library=folder)
    checked = publish_library(library=folder, check=True)
    catalog = Catalog.open(folder)
    deleted = catalog.vector_ids(catalog.space(), "image")[: published.written // 100].tolist()
    catalog.close()
    delete_segments(folder, deleted)
    after = publish_library(library=folder)
    if (checked.different, after.deleted) != (0, len(deleted)):
        raise RuntimeError(f"{checked}, {after}")
    return {
        "server": name,
        "images": published.written,
        "vectors/s": published.written / published.seconds,
        "check rows/s": published.written / checked.seconds,
        "delete s": after.seconds,
    }


def open_published(folder: Path, level: str) -> PublishedSpace:
    """Return the published space, with searches of a consistency level."""
    catalog = Catalog.open(folder)
    published_space.READ_SECONDS = SLOWEST_SECONDS
    published = PublishedSpaces().open(catalog, catalog.space())
    assert published is not None
    published._level = lambda: level
    return published


def measure(
    args: argparse.Namespace, count: int, place: Path
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Return rows of publishes and of searches, for a size."""
    cloud, folder = Cloud(count, args.dim, args.seed), place / str(count)
    make_library(folder, cloud, {"image": 1.0})
    with LibraryWriter(folder, lambda _: embedder_of(args.dim)) as writer:
        build_indexes(writer, writer.catalog.space())
    queries, publishes, rows = cloud.queries(args.queries), [], []
    with ExitStack() as running:
        for name in args.servers:
            data = place / f"{name}-{count}".replace("/", "-")
            data.mkdir()
            start = {"lite": lite_server, "standalone": standalone_server}.get(name)
            address = running.enter_context(start(data)).address if start else name
            publishes.append(measure_server(folder, name, address))
            truth = exact_scores(folder, queries)
            local = list(measure_searches(folder, None, queries, truth))
            rows += [{"images": count, "of": "local", **row, "x local": None} for row in local]
            for level in ("Strong", "Bounded"):
                found = measure_searches(folder, open_published(folder, level), queries, truth)
                rows += [
                    {
                        "images": count,
                        "of": f"{name} {level}",
                        **row,
                        "x local": row["p50 ms"] / base["p50 ms"],
                    }
                    for row, base in zip(found, local, strict=True)
                ]
    return publishes, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[10_000, 100_000]
    )
    parser.add_argument("--servers", type=lambda text: text.split(","), default=["lite", "standalone"])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds, with milvus-lite only")
    args = parser.parse_args()
    if args.smoke:
        args.sizes, args.servers, args.dim, args.queries = [2_000], ["lite"], 64, 5
    if "standalone" in args.servers and not has_standalone():
        print("standalone: not installed, or `unshare --net` is not permitted")
        args.servers.remove("standalone")
    print(f"{machine()}; sizes {args.sizes} x {args.dim}, {args.queries} queries, seed {args.seed}\n")
    publishes, rows = [], []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        for count in args.sizes:
            published, searched = measure(args, count, Path(place))
            publishes += published
            rows += searched
    table(publishes)
    table(rows)
    emit("milvus", seed=args.seed, queries=args.queries, publishes=publishes, rows=rows)


if __name__ == "__main__":
    main()
