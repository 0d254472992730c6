"""Measure labels: precision and recall at the default threshold, and the cost of tagging.

    python tests/bench/bench_tags.py --sizes 100000,1000000

The test photos of Flickr8k (../shared/data/flickr8k/test) are tagged with the built-in model. `relevant`
counts the photos with the label in at least two of five captions (by a regular expression); `tagged` those
that get the label; `false` the tagged photos of labels that no photo shows. Of a synthetic library of n
images: seconds, the ratio to one multiplication of all vectors in memory by the labels (`x product`), and the
peak memory of a new process; with each label by itself, and with one label per image (`one of`). --smoke
measures only a small synthetic library.
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

from indexer import TagOptions, index_folder, tag_library
from indexer.maintenance.build_index import build_indexes
from indexer.maintenance.calibrate import calibrate_if_due
from indexer.store.writer import LibraryWriter
from retrieval import Library, SearchOptions
from retrieval.catalog.reader import Catalog
from retrieval.embedders.registry import load_embedder

FLICKR = Path(__file__).parents[3] / "shared" / "data" / "flickr8k" / "test"
PRESENT = {
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
LABELS = [*PRESENT, *ABSENT, "sunset", "child", "cat", "boat"]  # twenty
DIM = 384  # of the built-in model


def truth(folder: Path) -> dict[str, set[str]]:
    """Return label -> photos with the label in at least two captions."""
    lines = (folder / "captions.jsonl").read_text("utf-8").splitlines()
    captions = {row["image"]: row["captions"] for row in map(json.loads, filter(None, lines))}
    patterns = {label: re.compile(rf"\b({words})\b", re.I) for label, words in PRESENT.items()}
    return {
        label: {name for name, texts in captions.items() if sum(bool(pattern.search(t)) for t in texts) >= 2}
        for label, pattern in patterns.items()
    }


def photos(folder: Path, place: Path) -> list[dict[str, object]]:
    """Index and tag the photos; return a row for each label."""
    expected = truth(folder)
    folder = folder.absolute()
    (place / "photos").mkdir()
    for photo in folder.glob("*.jpg"):
        (place / "photos" / photo.name).symlink_to(photo)
    index_folder(place / "photos", library=place / "flickr", model="builtin").close()
    counts = tag_library([*PRESENT, *ABSENT], library=place / "flickr").labels
    rows = []
    with Library.open(place / "flickr") as library:
        for label in counts:
            hits = library.search(
                "a photo", kind="image", count=max(1, label.count), options=SearchOptions(tag=label.name)
            )
            tagged, relevant = {hit.path.name for hit in hits}, expected.get(label.name, set())
            correct = len(tagged & relevant)
            precision = correct / len(tagged) if tagged and relevant else None
            shares = {"precision": precision, "recall": correct / len(relevant) if relevant else None}
            false = None if relevant else len(tagged)
            rows.append(
                {
                    "label": label.name,
                    "relevant": len(relevant),
                    "tagged": len(tagged),
                    **shares,
                    "false": false,
                }
            )
    return rows


def make(folder: Path, count: int, seed: int) -> None:
    """Write a calibrated synthetic library with an index."""
    embedder = load_embedder("builtin")
    make_library(folder, Cloud(count, DIM, seed), {"image": 1.0}, embedder)
    with LibraryWriter(folder, lambda _: embedder) as writer:
        calibrate_if_due(writer, build_indexes(writer, writer.catalog.space()), embedder)


def tag(folder: Path, one_of: bool) -> dict[str, float]:
    """Tag with all labels; return count, seconds and memory."""
    start = perf_counter()
    done = tag_library(LABELS, library=folder, options=TagOptions(one_of=one_of))
    seconds = perf_counter() - start
    count = sum(label.count for label in done.labels)
    return {"tags": count, "seconds": seconds, "peak MB": getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e6}


def product(folder: Path) -> float:
    """Return the seconds of one multiplication of all vectors in memory by the labels."""
    catalog = Catalog.open(folder)
    rows = [vectors for _, vectors in catalog.vectors_after(catalog.space(), "image", 0)]
    labels = load_embedder("builtin").embed_texts(LABELS).T
    start = perf_counter()
    for vectors in rows:
        np.max(vectors @ labels)
    return perf_counter() - start


def sizes(counts: Sequence[int], seed: int, place: Path) -> list[dict[str, object]]:
    """Return a row for each size and kind of tagging."""
    rows = []
    for count in counts:
        folder = place / str(count)
        alone(make, folder, count, seed)
        bare = alone(product, folder)
        for one_of in (False, True):
            row = alone(tag, folder, one_of)
            columns = {"n": count, "labels": len(LABELS), "how": "one of" if one_of else "each"}
            rows.append({**columns, **row, "x product": bare / row["seconds"]})
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
    args = parser.parse_args()
    if args.smoke:
        args.sizes, args.photos = [3_000], None
    elif not args.photos.is_dir():
        parser.error(f"Needs ../shared/data/flickr8k ({args.photos} does not exist), or use --smoke")
    print(f"{machine()}; sizes {args.sizes}, {len(LABELS)} labels, seed {args.seed}\n")
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        label_rows = alone(photos, args.photos, Path(place)) if args.photos else []
        cost_rows = sizes(args.sizes, args.seed, Path(place))
    if label_rows:
        table(label_rows)
    table(cost_rows)
    emit("tags", seed=args.seed, photos=label_rows, sizes=cost_rows)


if __name__ == "__main__":
    main()
