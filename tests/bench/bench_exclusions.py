"""Measure which photos an exclusion (not:) drops: of those that show it, and of those that do not.

    python tests/bench/bench_exclusions.py ../shared/data/flickr8k/test

A photo shows a thing if most of its captions name it, and does not if none does. Of absent things, every
dropped photo is wrong. `photo only` is the rule without the confidence of the library: a photo is dropped if
it matches the exclusion better than nine of ten background queries.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import draw_jpegs, emit, machine, table

from indexer import IndexOptions, index_folder
from retrieval import Library
from retrieval.query.encoder import EncodedQuery, EncodedTerm
from retrieval.search.exclusions import ExclusionFilter
from retrieval.types import Filters

THINGS = {  # what is excluded -> words of captions that name it
    "dog": ("dog", "dogs"),
    "people": ("people", "man", "men", "woman", "women", "person", "boy", "girl", "child", "children"),
    "snow": ("snow", "snowy"),
    "two people": ("two people", "two men", "two women", "two boys", "two girls"),
    "beach": ("beach",),
    "bicycle": ("bicycle", "bike", "bicycles", "bikes"),
    "grass": ("grass", "grassy"),
    "water": ("water",),
}
ABSENT = ("justice", "a submarine", "spreadsheet", "MRI scan", "giraffe", "piano", "sushi", "tax form")
MIN_NAMING_CAPTIONS = 3


class PhotoOnly(ExclusionFilter):
    """The rule without the confidence of the library."""

    def _has_confident_match(self, exclusion: EncodedTerm, kind: str) -> bool:
        return True


def dropped(library: Library, words: str, rule: type[ExclusionFilter]) -> set[str]:
    """Return the names of the photos that an exclusion of these words drops."""
    space_index = library._open_space_index()
    vector = library.embedder.embed_texts([words])
    term = EncodedTerm(words, "words", 1.0, vector)
    exclusions = rule(space_index, EncodedQuery(vector, "words", (term,), (term,)))
    ids = library._catalog.vector_ids(space_index.space, "image")
    kept, _ = exclusions.apply_to_ids(ids, np.zeros(len(ids), np.float32), "image")
    scored = [(int(id_), 0.0) for id_ in np.setdiff1d(ids, kept)]
    return {hit.path.name for hit in library._catalog.hits(scored, "", Filters())}


def naming(captions: list[str], words: tuple[str, ...]) -> int:
    """Return the number of captions with one of the words."""
    texts = (f" {caption.lower().replace('.', ' ').replace(',', ' ')} " for caption in captions)
    return sum(any(f" {word} " in text for word in words) for text in texts)


def measure(
    library: Library, photos: dict[str, list[str]], rule: type[ExclusionFilter]
) -> list[dict[str, object]]:
    """Return the dropped shares of each thing."""
    rows = []
    for thing, words in THINGS.items():
        found = dropped(library, thing, rule)
        shows = {name for name, texts in photos.items() if naming(texts, words) >= MIN_NAMING_CAPTIONS}
        lacks = {name for name, texts in photos.items() if not naming(texts, words)}
        wrong, right = len(found & lacks) / len(lacks), len(found & shows) / len(shows)
        rows.append({"rule": rule.__name__, "not": thing, "shows %": 100 * right, "lacks %": 100 * wrong})
    shares = [100 * len(dropped(library, thing, rule)) / len(photos) for thing in ABSENT]
    rows.append({"rule": rule.__name__, "not": "absent, mean", "lacks %": float(np.mean(shares))})
    rows.append({"rule": rule.__name__, "not": "absent, worst", "lacks %": max(shares)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a folder of photos with captions.jsonl")
    parser.add_argument("--library", type=Path, help="an existing library of that folder")
    parser.add_argument("--smoke", action="store_true", help="a few drawn images, to see that it runs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as drawn:
        if args.smoke:
            args.folder = draw_folder(Path(drawn))
        elif args.folder is None:
            parser.error("Needs a folder of photos with captions.jsonl, or use --smoke")
        run(args)


def draw_folder(folder: Path) -> Path:
    """Draw images whose captions name all things, or none."""
    for number, data in enumerate(draw_jpegs(40, 160, 120, 1)):
        (folder / f"{number}.jpg").write_bytes(data)
    things = ", ".join(words[0] for words in THINGS.values())
    rows = [{"image": f"{n}.jpg", "captions": [things if n % 2 else "a wall"] * 3} for n in range(40)]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def run(args: argparse.Namespace) -> None:
    """Measure a folder and print the shares."""
    lines = (args.folder / "captions.jsonl").read_text().splitlines()
    photos = {Path(row["image"]).name: row["captions"] for row in map(json.loads, lines)}
    print(f"{machine()}; {len(photos):,} photos\n")
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        if args.library:
            library = Library.open(args.library)
        else:
            options = IndexOptions(exclude=["*.jsonl"])
            library = index_folder(args.folder, library=place, model="builtin", options=options)
        with library:
            rows = measure(library, photos, PhotoOnly) + measure(library, photos, ExclusionFilter)
    table(rows)
    emit("exclusions", photos=len(photos), rows=rows)


if __name__ == "__main__":
    main()
