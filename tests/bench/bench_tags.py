"""Measure labels: which photos get them at the default threshold, and what tagging costs.

    python tests/bench/bench_tags.py --sizes 100000,1000000

Of Flickr8k's test photos (../shared/data/flickr8k/test), tagged with the built-in model: `there`, the photos
that at least two of five people say it of (a regular expression over their captions); `tagged`, those that
get the label; precision, recall; and of labels that no photo shows, `false`, how many get them all the same.
Of a drawn library of n pictures: seconds, the time of one multiplication of all vectors in memory by the
labels divided by it (`x product`), and the peak of a fresh process, of all labels at once and of one of them
all. --smoke measures a small drawn library alone.
"""

import argparse
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter

import numpy as np
from common import Cloud, alone, emit, machine, make_library, table

from indexer import index_folder, tag_library
from indexer.maintenance.build_index import build_indexes
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.store.writer import LibraryWriter
from retrieval import Library, SearchOptions
from retrieval.catalog.reader import Catalog
from retrieval.embedders.registry import load_embedder

FLICKR = Path(__file__).parents[3] / "shared" / "data" / "flickr8k" / "test"
THERE = {
    "dog": r"dogs?|puppy|puppies",
    "snow": r"snow\w*",
    "beach": "beach|sand",
    "bicycle": r"bik\w+|bicycl\w+|cyclist",
    "skateboard": r"skateboard\w*",
    "motorcycle": r"motorcycl\w+|motorbike|dirt bike",
    "water": "water|ocean|pool|river|lake|sea",
    "soccer": "soccer",
    "rock climbing": r"climb\w*",
}
ABSENT = ("receipt", "pizza", "spreadsheet", "screenshot of a chat", "x-ray", "passport", "sheet music")
LABELS = [*THERE, *ABSENT, "sunset", "child", "cat", "boat"]  # twenty
DIM = 256  # of the built-in model


def truth(folder: Path) -> dict[str, set[str]]:
    """Return label -> the photos that at least two captions say it of."""
    lines = (folder / "captions.jsonl").read_text("utf-8").splitlines()
    told = {row["image"]: row["captions"] for row in map(json.loads, filter(None, lines))}
    said = {label: re.compile(rf"\b({words})\b", re.I) for label, words in THERE.items()}
    return {
        label: {name for name, texts in told.items() if sum(bool(found.search(t)) for t in texts) >= 2}
        for label, found in said.items()
    }


def photos(folder: Path, place: Path) -> list[dict[str, object]]:
    """Index and tag the photos; return a row for each label."""
    right = truth(folder)
    folder = folder.absolute()
    (place / "photos").mkdir()
    for photo in folder.glob("*.jpg"):
        (place / "photos" / photo.name).symlink_to(photo)
    index_folder(place / "photos", library=place / "flickr", model="builtin").close()
    counts = tag_library([*THERE, *ABSENT], library=place / "flickr").labels
    rows = []
    with Library.open(place / "flickr") as library:
        for label in counts:
            hits = library.search(
                "a photo", kind="image", count=max(1, label.count), options=SearchOptions(tag=label.name)
            )
            tagged, there = {hit.path.name for hit in hits}, right.get(label.name, set())
            good = len(tagged & there)
            precision = good / len(tagged) if tagged and there else None
            shares = {"precision": precision, "recall": good / len(there) if there else None}
            false = None if there else len(tagged)
            rows.append(
                {"label": label.name, "there": len(there), "tagged": len(tagged), **shares, "false": false}
            )
    return rows


def make(folder: Path, count: int, seed: int) -> None:
    """Draw a library of pictures, with its index, calibrated."""
    embedder = load_embedder("builtin")
    make_library(folder, Cloud(count, DIM, seed), {"image": 1.0}, embedder)
    with LibraryWriter(folder, lambda _: embedder) as writer:
        calibrate_if_due(writer, build_indexes(writer, writer.catalog.space()), embedder)


def tag(folder: Path, one_of: bool) -> dict[str, float]:
    """Tag with all labels; return the time, memory and counts."""
    begun = perf_counter()
    done = tag_library(LABELS, library=folder, one_of=one_of)
    took = perf_counter() - begun
    given = sum(label.count for label in done.labels)
    return {"tags": given, "seconds": took, "peak MB": getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e6}


def product(folder: Path) -> float:
    """Return the seconds of one multiplication of all vectors, in memory, by as many labels."""
    catalog = Catalog.open(folder)
    rows = [vectors for _, vectors in catalog.vectors_after(catalog.space(), "image", 0)]
    labels = load_embedder("builtin").embed_texts(LABELS).T
    begun = perf_counter()
    for vectors in rows:
        np.max(vectors @ labels)
    return perf_counter() - begun


def sizes(counts: Sequence[int], seed: int, place: Path) -> list[dict[str, object]]:
    """Return a row for each size and way to tag."""
    rows = []
    for count in counts:
        folder = place / str(count)
        alone(make, folder, count, seed)
        bare = alone(product, folder)
        for one_of in (False, True):
            row = alone(tag, folder, one_of)
            what = {"n": count, "labels": len(LABELS), "how": "one of" if one_of else "each"}
            rows.append({**what, **row, "x product": bare / row["seconds"]})
        shutil.rmtree(folder)
    return rows


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=[100_000, 1_000_000])
    parser.add_argument("--photos", type=Path, default=FLICKR, help="a folder with captions.jsonl")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    given = parser.parse_args()
    if given.smoke:
        given.sizes, given.photos = [3_000], None
    elif not given.photos.is_dir():
        parser.error(f"needs ../shared/data/flickr8k ({given.photos} is not there); or --smoke")
    print(f"{machine()}; sizes {given.sizes}, {len(LABELS)} labels, seed {given.seed}\n")
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        right = alone(photos, given.photos, Path(place)) if given.photos else []
        cost = sizes(given.sizes, given.seed, Path(place))
    if right:
        table(right)
    table(cost)
    emit("tags", seed=given.seed, photos=right, sizes=cost)


if __name__ == "__main__":
    main()
