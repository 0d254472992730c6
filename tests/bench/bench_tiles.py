"""Measure the search for small objects with and without tiles, and the cost of tiles.

    python tests/bench/bench_tiles.py --photos ../shared/data/flickr8k

One test photo is pasted into each dev photo, which is enlarged to 900 x 900, at each of the shares of the
side. `object` queries are a caption of the pasted photo, `scene` queries one of the photo around it; both
report the share of queries whose image is the first hit or among the first ten. `seconds` and `bytes` are
those of `clew index` and of its catalog; the second row adds the tiles. `--smoke` draws its own photos.
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
    image: Image.Image
    caption: str


def photos(folder: Path, count: int) -> list[Photo]:
    """Read the first photos of a folder with their first captions."""
    lines = (folder / "captions.jsonl").read_text().splitlines()[:count]
    rows = [json.loads(line) for line in lines]
    return [Photo(Image.open(folder / row["image"]).convert("RGB"), row["captions"][0]) for row in rows]


def plain_photos(count: int, shade: int) -> list[Photo]:
    """Draw plain photos, for --smoke."""
    colors = [(37 * n % 256, shade, 91 * n % 256) for n in range(count)]
    return [Photo(Image.new("RGB", (64, 64), color), f"a photo {n}") for n, color in enumerate(colors)]


def paste(scenes: Sequence[Photo], objects: Sequence[Photo], share: float, folder: Path) -> list[Path]:
    """Write the images, with each object at a random position in its scene."""
    rng, side, paths = random.Random(SEED), round(share * SIDE), []
    folder.mkdir()
    for number, (scene, pasted) in enumerate(zip(scenes, objects, strict=True)):
        image = scene.image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        small = pasted.image.resize((side, side), Image.Resampling.LANCZOS)
        image.paste(small, (rng.randrange(SIDE - side), rng.randrange(SIDE - side)))
        paths.append(folder / f"{number:04d}.jpg")
        image.save(paths[-1], quality=92)
    return paths


def recall(library: Library, queries: Sequence[Photo], paths: Sequence[Path], count: int) -> float:
    """Return the share of queries whose image is among the first hits."""
    found = [
        path
        in [
            hit.path
            for hit in library.search(photo.caption, count=count, options=SearchOptions(by="meaning"))
        ]
        for photo, path in zip(queries, paths, strict=True)
    ]
    return sum(found) / len(found)


def measure(scenes: Sequence[Photo], objects: Sequence[Photo], share: float, model: str) -> list[dict]:
    rows, before = [], 0
    with tempfile.TemporaryDirectory() as place:
        paths = paste(scenes, objects, share, Path(place) / "gallery")
        home = Path(place) / "library"
        for tiles in (False, True):
            report = update_library(
                paths[0].parent, library=home, model=model, options=IndexOptions(tiles=tiles)
            )
            size = (home / CATALOG_FILE).stat().st_size
            with Library.open(home) as library:
                recalls = {
                    f"{name}@{count}": recall(library, queries, paths, count)
                    for name, queries in (("object", objects), ("scene", scenes))
                    for count in (1, 10)
                }
            cost = {"seconds": report.seconds, "bytes": (size - before) / len(paths)}
            rows.append(
                {"embedded": "images and tiles" if tiles else "images", "share": share, **recalls, **cost}
            )
            before = size
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/flickr8k"))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    count = 6 if args.smoke else args.count
    scenes = plain_photos(count, 40) if args.smoke else photos(args.photos / "dev", count)
    objects = plain_photos(count, 200) if args.smoke else photos(args.photos / "test", count)
    print(f"# {count} images of {SIDE} x {SIDE}, {args.model}, seed {SEED}; {machine()}")
    rows = [
        row
        for share in (SHARES[:1] if args.smoke else SHARES)
        for row in measure(scenes, objects, share, args.model)
    ]
    table(rows)
    emit("tiles", images=count, model=args.model, rows=rows)


if __name__ == "__main__":
    main()
