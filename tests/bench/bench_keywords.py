"""Compare keyword search with vector search: quality, and the cost of writing and searching keywords.

    python tests/bench/bench_keywords.py --data ../shared/data/flickr8k/test

`captions`: the first caption of every photo is a document, a text file named as the photo is, and the others
are queries; right is the document of the same photo. `quoted`: four successive words of a document in quotes;
right is every document that has them. `names` and `pieces`: the photo's name, and the first 10 letters of it.
`photos`: the photos themselves, which have no words but their names, asked by all captions; keywords must not
harm them. Per cent, within the first 100 hits. Then what writing passages of three captions each costs with
the keyword tables and without (one passage a file), and milliseconds a query in a larger library of such, the
words embedded beforehand.
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
WAYS = ("meaning", "keyword", "both")
SUBJECTS = ("dog", "cat", "child", "woman", "man", "horse", "bird", "boy", "girl", "skier")
DOINGS = ("runs", "jumps", "sits", "sleeps", "swims", "plays", "stands", "eats", "hides", "waits")
PLACES = ("on the beach", "in the snow", "by a river", "in a park", "at a fence", "on grass", "near a car")


class Photo(NamedTuple):
    """A photo's name without its suffix, and its captions."""

    name: str
    captions: list[str]


def drawn(count: int, seed: int) -> list[Photo]:
    """Return photos with three captions each, of few words, where there is no data."""
    draw, photos = np.random.default_rng(seed), []
    for n in range(count):
        who, does, where = (draw.choice(words) for words in (SUBJECTS, DOINGS, PLACES))
        said = [f"A {who} {does} {where} .", f"The {who} {where} {does} .", f"{where} , a {who} {does} ."]
        photos.append(Photo(f"{n:05d}_{draw.integers(1 << 32):08x}", said))
    return photos


def read_photos(folder: Path) -> list[Photo]:
    """Return the photos of a captions file."""
    rows = map(json.loads, (folder / "captions.jsonl").read_text("utf-8").splitlines())
    return [Photo(Path(row["image"]).stem, row["captions"]) for row in rows]


class Question(NamedTuple):
    """A query and the names of the files that are right."""

    words: str
    right: frozenset[str]


def questions(photos: Sequence[Photo]) -> dict[str, list[Question]]:
    """Return the questions about documents, by what they are of."""
    documents = {photo.name: f" {' '.join(photo.captions[0].lower().split())} " for photo in photos}
    asked: dict[str, list[Question]] = {"captions": [], "quoted": [], "names": [], "pieces": []}
    for photo in photos:
        one, words = frozenset({photo.name}), photo.captions[0].split()
        asked["captions"] += [Question(caption, one) for caption in photo.captions[1:]]
        asked["names"].append(Question(photo.name, one))
        asked["pieces"].append(
            Question(photo.name[:10], frozenset(n for n in documents if photo.name[:10] in n))
        )
        phrase = " ".join(words[1:5])
        if len(words) > 5 and phrase.replace(" ", "").isalpha():
            has = frozenset(n for n, text in documents.items() if f" {phrase.lower()} " in text)
            asked["quoted"].append(Question(f'"{phrase}"', has))
    return asked


def ask(library: Library, what: str, asked: Sequence[Question], kind: str) -> list[dict[str, object]]:
    """Return a row of measures for each way to search."""
    rows = []
    for way in WAYS:
        ranks = []
        for question in asked:
            hits = library.search(question.words, kind=kind, count=DEPTH, options=SearchOptions(by=way))
            places = (at for at, hit in enumerate(hits, start=1) if hit.path.stem in question.right)
            ranks.append(next(places, np.inf))
        at = np.array(ranks)
        recalls = {f"R@{k}": float(100 * (at <= k).mean()) for k in (1, 5, 10)}
        rows.append({"queries": what, "n": len(at), "by": way, **recalls, "MRR": float((1 / at).mean())})
    return rows


def quality(photos: Sequence[Photo], pictures: Path | None, place: Path) -> list[dict[str, object]]:
    """Index documents, and photos where there are some, and ask them."""
    folder = place / "documents"
    folder.mkdir()
    for photo in photos:
        (folder / f"{photo.name}.txt").write_text(photo.captions[0] + "\n", "utf-8")
    rows = []
    with index_folder(folder, library=place / "library", model="builtin") as library:
        for what, asked in questions(photos).items():
            rows += ask(library, what, asked, "text")
    if pictures is not None:
        with index_folder(pictures, library=place / "photos", model="builtin") as library:
            every = [Question(c, frozenset({photo.name})) for photo in photos for c in photo.captions]
            rows += ask(library, "photos", every, "image")
    return rows


def portions(texts: Sequence[str], cloud: Cloud) -> list[list[FileChunk]]:
    """Return texts as files of one passage each, in batches as a run writes them."""
    vectors = np.concatenate(list(cloud.chunks()))
    every = []
    for n, text in enumerate(texts):
        found = FileEntry(b"%04d/%08d.txt" % (n // 500, n), 1, 1, "text", None)
        draft = SegmentDraft("text", text=text, start=1, end=1)
        read = ReadResult(found, n.to_bytes(32), decoded=DecodedFile([draft]))
        every.append(FileChunk(read, read.decoded.drafts, vectors=vectors[n : n + 1]))
    return [every[at : at + 256] for at in range(0, len(every), 256)]


def write(texts: Sequence[str], folder: Path, cloud: Cloud, *, keywords: bool) -> float:
    """Write a library of these passages and build its index; return the CPU seconds that writing took."""
    batches = portions(texts, cloud)
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


def latency(folder: Path, asked: Sequence[str]) -> list[dict[str, object]]:
    """Return milliseconds a query of a warm library, each way."""
    catalog = Catalog.open(folder)
    nearest, embedder = SpaceIndex(catalog, catalog.space()), load_embedder("builtin")
    composed = [
        encode_query(
            parse(words), embedder, partial(lookup_vector, catalog, nearest.space), nearest.mean_query
        )
        for words in asked
    ]
    requests = [SearchRequest(nearest, query) for query in composed]
    ways: dict[str, Callable[[int], object]] = {
        "meaning": lambda n: vector_search(requests[n], 10),
        "keyword": lambda n: keyword_search(catalog, asked[n], count=DEPTH),
        "both": lambda n: hybrid_search(requests[n]).top(10),
    }
    rows = []
    for way, work in ways.items():
        work(0)
        times = []
        for n in range(len(asked)):
            begun = perf_counter()
            work(n)
            times.append(1000 * (perf_counter() - begun))
        p50, p95 = np.percentile(times, (50, 95))
        rows.append({"by": way, "queries": len(times), "p50 ms": float(p50), "p95 ms": float(p95)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of photos with captions.jsonl; drawn without")
    parser.add_argument("--photos", action="store_true", help="index the photos too")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--written", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=200, help="of the latency")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    given = parser.parse_args()
    if given.smoke:
        given.data, given.passages, given.written, given.queries = None, 500, 500, 20
    photos = drawn(30 if given.smoke else 300, given.seed) if given.data is None else read_photos(given.data)
    print(f"{machine()}; {given.data or 'drawn captions'}, {len(photos):,} documents, seed {given.seed}\n")
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as temporary:
        place = Path(temporary)
        rows = quality(photos, given.data if given.photos else None, place)
        table(rows)
        draw, captions = np.random.default_rng(given.seed), [c for photo in photos for c in photo.captions]
        texts = [" ".join(three) for three in draw.choice(captions, (given.passages, 3))]
        few, cloud = texts[: given.written], Cloud(given.written, 256, given.seed)
        wrote = {
            name: write(few, place / name, cloud, keywords=name == "with") for name in ("without", "with")
        }
        bytes_ = {name: (place / name / CATALOG_FILE).stat().st_size for name in wrote}
        writing = [
            {"keywords": name, "passages": len(few), "cpu s": seconds, "us each": 1e6 * seconds / len(few),
             "bytes each": bytes_[name] / len(few), "x": seconds / wrote["without"]}
            for name, seconds in wrote.items()
        ]  # fmt: skip
        table(writing)
        for name in wrote:
            shutil.rmtree(place / name)
        write(texts, place / "large", Cloud(given.passages, 256, given.seed), keywords=True)
        asked = [str(words) for words in draw.choice(captions, given.queries)]
        speed = latency(place / "large", asked)
        print(f"{given.passages:,} passages")
        table(speed)
    emit(
        "keywords", data=str(given.data), quality=rows, writing=writing, passages=given.passages, speed=speed
    )


if __name__ == "__main__":
    main()
