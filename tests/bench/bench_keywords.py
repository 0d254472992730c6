"""Compare keyword search with vector search: quality, and the cost of writing and searching keywords.

    python tests/bench/bench_keywords.py --data ../shared/data/flickr8k/test

`captions`: the first caption of every photo is a document, a text file with the name of the photo, and the
other captions are queries; the document of the same photo is relevant. `quoted`: four successive words of a
document in quotes; every document that contains them is relevant. `names` and `parts`: the name of the photo,
and its first 10 letters. `photos`: the photos themselves, whose only words are their names, searched by all
captions; keywords must not reduce the quality. Percentages within the first 100 hits. Then the cost of
writing passages of three captions each with and without the keyword tables (one passage per file), and
milliseconds per query in a larger library of such passages, without embedding the query; `folder` is the
keyword search for the name of a folder with a seventh of all files.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from common import Cloud, emit, machine, table, time_of

from indexer import index_folder
from indexer.decode.base import DecodedFile, SegmentDraft
from indexer.decode.reader import ReadResult
from indexer.maintenance.build_index import build_indexes
from indexer.store.writer import FileChunk, LibraryWriter
from indexer.types import FileEntry
from retrieval import Library, SearchOptions
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import CATALOG_FILE
from retrieval.embedders.registry import load_embedder
from retrieval.query.encoder import encode_query, lookup_vector
from retrieval.query.parser import parse
from retrieval.search.hybrid_search import hybrid_search
from retrieval.search.keyword_search import keyword_search
from retrieval.search.request import SearchRequest
from retrieval.search.vector_search import vector_search
from retrieval.vectors.space_index import SpaceIndex

DEPTH = 100
FOLDER, FOLDER_SHARE = "quixotic", 7  # a folder with one of so many files; no caption contains its name
MODES = ("meaning", "keyword", "both")
SUBJECTS = ("dog", "cat", "child", "woman", "man", "horse", "bird", "boy", "girl", "skier")
ACTIONS = ("runs", "jumps", "sits", "sleeps", "swims", "plays", "stands", "eats", "hides", "waits")
PLACES = ("on the beach", "in the snow", "by a river", "in a park", "at a fence", "on grass", "near a car")


class Photo(NamedTuple):
    """A photo's name without its suffix, and its captions."""

    name: str
    captions: list[str]


def synthetic_photos(count: int, seed: int) -> list[Photo]:
    """Return synthetic photos with three captions each, from a small vocabulary."""
    rng, photos = np.random.default_rng(seed), []
    for n in range(count):
        subject, action, location = (rng.choice(words) for words in (SUBJECTS, ACTIONS, PLACES))
        captions = [
            f"A {subject} {action} {location} .",
            f"The {subject} {location} {action} .",
            f"{location} , a {subject} {action} .",
        ]
        photos.append(Photo(f"{n:05d}_{rng.integers(1 << 32):08x}", captions))
    return photos


def read_photos(folder: Path) -> list[Photo]:
    """Return the photos of a captions file."""
    rows = map(json.loads, (folder / "captions.jsonl").read_text("utf-8").splitlines())
    return [Photo(Path(row["image"]).stem, row["captions"]) for row in rows]


class RelevanceQuery(NamedTuple):
    """A query and the names of its relevant files."""

    words: str
    relevant: frozenset[str]


def document_queries(photos: Sequence[Photo]) -> dict[str, list[RelevanceQuery]]:
    """Return name of the set -> queries for the documents."""
    documents = {photo.name: f" {' '.join(photo.captions[0].lower().split())} " for photo in photos}
    queries: dict[str, list[RelevanceQuery]] = {"captions": [], "quoted": [], "names": [], "parts": []}
    for photo in photos:
        relevant, words = frozenset({photo.name}), photo.captions[0].split()
        queries["captions"] += [RelevanceQuery(caption, relevant) for caption in photo.captions[1:]]
        queries["names"].append(RelevanceQuery(photo.name, relevant))
        queries["parts"].append(
            RelevanceQuery(photo.name[:10], frozenset(n for n in documents if photo.name[:10] in n))
        )
        phrase = " ".join(words[1:5])
        if len(words) > 5 and phrase.replace(" ", "").isalpha():
            containing = frozenset(n for n, text in documents.items() if f" {phrase.lower()} " in text)
            queries["quoted"].append(RelevanceQuery(f'"{phrase}"', containing))
    return queries


def search_all(
    library: Library, name: str, queries: Sequence[RelevanceQuery], kind: str
) -> list[dict[str, object]]:
    """Return a row of measures for each search mode."""
    rows = []
    for mode in MODES:
        ranks = []
        for query in queries:
            hits = library.search(query.words, kind=kind, count=DEPTH, options=SearchOptions(by=mode))
            places = (at for at, hit in enumerate(hits, start=1) if hit.path.stem in query.relevant)
            ranks.append(next(places, np.inf))
        at = np.array(ranks)
        recalls = {f"R@{k}": float(100 * (at <= k).mean()) for k in (1, 5, 10)}
        rows.append({"queries": name, "n": len(at), "by": mode, **recalls, "MRR": float((1 / at).mean())})
    return rows


def quality(photos: Sequence[Photo], image_folder: Path | None, place: Path) -> list[dict[str, object]]:
    """Index the documents, and the photos if there is a folder of them; return all measures."""
    folder = place / "documents"
    folder.mkdir()
    for photo in photos:
        (folder / f"{photo.name}.txt").write_text(photo.captions[0] + "\n", "utf-8")
    rows = []
    with index_folder(folder, library=place / "library", model="builtin") as library:
        for name, queries in document_queries(photos).items():
            rows += search_all(library, name, queries, "text")
    if image_folder is not None:
        with index_folder(image_folder, library=place / "photos", model="builtin") as library:
            queries = [RelevanceQuery(c, frozenset({photo.name})) for photo in photos for c in photo.captions]
            rows += search_all(library, "photos", queries, "image")
    return rows


def file_chunks(texts: Sequence[str], cloud: Cloud) -> list[list[FileChunk]]:
    """Return texts as files of one passage each, in batches of 256."""
    vectors = np.concatenate(list(cloud.chunks()))
    chunks = []
    for n, text in enumerate(texts):
        top = FOLDER.encode() if n % FOLDER_SHARE == 0 else b"other"
        entry = FileEntry(b"%s/%04d/%08d.txt" % (top, n // 500, n), 1, 1, "text", None)
        draft = SegmentDraft("text", text=text, start=1, end=1)
        read = ReadResult(entry, n.to_bytes(32), decoded=DecodedFile([draft]))
        chunks.append(FileChunk(read, read.decoded.drafts, vectors=vectors[n : n + 1]))
    return [chunks[at : at + 256] for at in range(0, len(chunks), 256)]


def write(texts: Sequence[str], folder: Path, cloud: Cloud, *, keywords: bool) -> float:
    """Write a library of the passages and build its index; return the CPU seconds of writing."""
    batches = file_chunks(texts, cloud)
    with LibraryWriter(folder, lambda _: load_embedder("builtin")) as writer:
        if not keywords:
            triggers = writer.db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for (name,) in triggers:
                writer.db.execute(f"DROP TRIGGER {name}")
        row = {"path": b"/nowhere/drawn", "options": "{}", "state": "present"}
        root = writer.db.table("roots").insert(row, pk="id").last_pk

        def work() -> None:
            for batch in batches:
                writer.write(root, batch)

        took = time_of(work)
        build_indexes(writer, writer.catalog.space(), "flat")
    return took.cpu


def latency(folder: Path, queries: Sequence[str]) -> list[dict[str, object]]:
    """Return milliseconds per query in a warm library, for each search mode."""
    catalog = Catalog.open(folder)
    space_index, embedder = SpaceIndex(catalog, catalog.space()), load_embedder("builtin")
    encoded = [
        encode_query(
            parse(words), embedder, partial(lookup_vector, catalog, space_index.space), space_index.mean_words
        )
        for words in queries
    ]
    requests = [SearchRequest(space_index, query) for query in encoded]
    modes: dict[str, Callable[[int], object]] = {
        "meaning": lambda n: vector_search(requests[n], 10),
        "keyword": lambda n: keyword_search(catalog, queries[n], count=DEPTH),
        "folder": lambda _: keyword_search(catalog, FOLDER, count=DEPTH),
        "both": lambda n: hybrid_search(requests[n]).top(10),
    }
    rows = []
    for mode, work in modes.items():
        work(0)
        times = []
        for n in range(len(queries)):
            start = perf_counter()
            work(n)
            times.append(1000 * (perf_counter() - start))
        p50, p95 = np.percentile(times, (50, 95))
        rows.append({"by": mode, "queries": len(times), "p50 ms": float(p50), "p95 ms": float(p95)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of photos with captions.jsonl [drawn captions]")
    parser.add_argument("--photos", action="store_true", help="index the photos too")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--written", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200, help="queries of the latency")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.data, args.passages, args.written, args.queries = None, 500, 500, 20
    photos = (
        synthetic_photos(30 if args.smoke else 300, args.seed)
        if args.data is None
        else read_photos(args.data)
    )
    print(f"{machine()}; {args.data or 'drawn captions'}, {len(photos):,} documents, seed {args.seed}\n")
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as temporary:
        place = Path(temporary)
        rows = quality(photos, args.data if args.photos else None, place)
        table(rows)
        rng, captions = np.random.default_rng(args.seed), [c for photo in photos for c in photo.captions]
        texts = [" ".join(three) for three in rng.choice(captions, (args.passages, 3))]
        written, cloud = texts[: args.written], Cloud(args.written, 384, args.seed)
        seconds_of = {
            name: write(written, place / name, cloud, keywords=name == "with") for name in ("without", "with")
        }
        bytes_ = {name: (place / name / CATALOG_FILE).stat().st_size for name in seconds_of}
        writing = [
            {"keywords": name, "passages": len(written), "cpu s": seconds,
             "us per passage": 1e6 * seconds / len(written),
             "bytes per passage": bytes_[name] / len(written), "x": seconds / seconds_of["without"]}
            for name, seconds in seconds_of.items()
        ]  # fmt: skip
        table(writing)
        for name in seconds_of:
            shutil.rmtree(place / name)
        write(texts, place / "large", Cloud(args.passages, 384, args.seed), keywords=True)
        queries = [str(words) for words in rng.choice(captions, args.queries)]
        speed = latency(place / "large", queries)
        print(f"{args.passages:,} passages")
        table(speed)
    emit("keywords", data=str(args.data), quality=rows, writing=writing, passages=args.passages, speed=speed)


if __name__ == "__main__":
    main()
