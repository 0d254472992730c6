"""Measure the search for small things with tiles and without, and the cost of tiles.

    python tests/bench/bench_tiles.py --photos ../shared/data/flickr8k

Into each of the dev photos, enlarged to 900 x 900, one test photo is pasted, at each of the shares of the
side. `thing` asks for the pasted photo by one of its captions, `scene` for the photo it is pasted into; of
both is told in which share of the queries the picture is the first, or among the first ten, of the gallery.
`seconds` and `bytes` are those of `clew index` and of its catalogue, tiles alone in the second row.
`--smoke` draws its own photos.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from common import emit, machine, table
from PIL import Image

from indexer import IndexOptions, update_library
from retrieval import Library, SearchOptions
from retrieval.catalog.schema import CATALOG_FILE

SIDE, SHARES, SEED = 900, (0.3, 0.4, 0.5), 1


class Photo(NamedTuple):
    picture: Image.Image
    caption: str


def photos(folder: Path, count: int) -> list[Photo]:
    """Read the first photos of a folder with their first captions."""
    lines = (folder / "captions.jsonl").read_text().splitlines()[:count]
    told = [json.loads(line) for line in lines]
    return [Photo(Image.open(folder / each["image"]).convert("RGB"), each["captions"][0]) for each in told]


def drawn(count: int, shade: int) -> list[Photo]:
    """Draw plain photos, for a smoke run."""
    colours = [(37 * n % 256, shade, 91 * n % 256) for n in range(count)]
    return [Photo(Image.new("RGB", (64, 64), colour), f"a photo {n}") for n, colour in enumerate(colours)]


def paste(scenes: Sequence[Photo], things: Sequence[Photo], share: float, folder: Path) -> list[Path]:
    """Write the gallery, each thing somewhere in its scene."""
    draw, side, paths = random.Random(SEED), round(share * SIDE), []
    folder.mkdir()
    for number, (scene, thing) in enumerate(zip(scenes, things, strict=True)):
        picture = scene.picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        small = thing.picture.resize((side, side), Image.Resampling.LANCZOS)
        picture.paste(small, (draw.randrange(SIDE - side), draw.randrange(SIDE - side)))
        paths.append(folder / f"{number:04d}.jpg")
        picture.save(paths[-1], quality=92)
    return paths


def recall(library: Library, asked: Sequence[Photo], paths: Sequence[Path], count: int) -> float:
    """Return the share of queries whose image is among the first hits."""
    found = [
        path
        in [
            hit.path
            for hit in library.search(photo.caption, count=count, options=SearchOptions(by="meaning"))
        ]
        for photo, path in zip(asked, paths, strict=True)
    ]
    return sum(found) / len(found)


def measure(scenes: Sequence[Photo], things: Sequence[Photo], share: float, model: str) -> list[dict]:
    rows, before = [], 0
    with tempfile.TemporaryDirectory() as place:
        paths = paste(scenes, things, share, Path(place) / "gallery")
        home = Path(place) / "library"
        for tiles in (False, True):
            report = update_library(
                paths[0].parent, library=home, model=model, options=IndexOptions(tiles=tiles)
            )
            size = (home / CATALOG_FILE).stat().st_size
            with Library.open(home) as library:
                recalls = {
                    f"{name}@{count}": recall(library, asked, paths, count)
                    for name, asked in (("thing", things), ("scene", scenes))
                    for count in (1, 10)
                }
            cost = {"seconds": report.seconds, "bytes": (size - before) / len(paths)}
            rows.append({"embedded": "tiles too" if tiles else "whole", "share": share, **recalls, **cost})
            before = size
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/flickr8k"))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    count = 6 if given.smoke else given.count
    scenes = drawn(count, 40) if given.smoke else photos(given.photos / "dev", count)
    things = drawn(count, 200) if given.smoke else photos(given.photos / "test", count)
    print(f"# {count} pictures of {SIDE} x {SIDE}, {given.model}, seed {SEED}; {machine()}")
    rows = [
        row
        for share in (SHARES[:1] if given.smoke else SHARES)
        for row in measure(scenes, things, share, given.model)
    ]
    table(rows)
    emit("tiles", pictures=count, model=given.model, rows=rows)


if __name__ == "__main__":
    main()
