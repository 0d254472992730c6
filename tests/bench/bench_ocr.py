"""Measure text recognition in images: images per second, and the share of drawn words that are found.

    python tests/bench/bench_ocr.py --pictures 12

`clew` is the second run of `clew index --ocr` over a folder whose pictures are embedded already: decoding,
reading, embedding of what is found and writing. `rapidocr` is that library as it comes, one picture after the
other with all its threads, in turns with clew. Words are counted as they were drawn, small letters as large.
"""

import argparse
import random
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from common import emit, machine, table
from PIL import Image, ImageDraw, ImageFont

from indexer import IndexOptions, update_library
from retrieval import Library

WORDS = re.findall(
    r"\w+",
    """kayak rental invoice total museum ticket harbor market bakery station library coffee garden closed
    monday exit platform danger private parking delayed flight departure gate weather forecast holiday
    booking password account message window printer battery update concert orchestra lecture physics
    chapter cinnamon vinegar tomato spinach walnut butter carrot lemon voucher receipt refund balance""",
)


def write(
    pen: ImageDraw.ImageDraw, place: tuple[int, int], words: list[str], height: int, colour="black"
) -> None:
    pen.text(place, " ".join(words), fill=colour, font=ImageFont.load_default(height))


def screenshot(draw: random.Random) -> tuple[Image.Image, list[str]]:
    picture = Image.new("RGB", (1440, 900), "#f4f4f4")
    pen, said = ImageDraw.Draw(picture), []
    for row in range(14):
        words = draw.sample(WORDS, draw.randint(2, 7))
        write(pen, (60 + 40 * (row % 3), 40 + 60 * row), words, draw.choice((15, 18, 22)))
        said += words
    return picture, said


def receipt(draw: random.Random) -> tuple[Image.Image, list[str]]:
    picture = Image.new("RGB", (1000, 1500), "#fbfaf4")
    pen, said = ImageDraw.Draw(picture), []
    for row in range(16):
        words, price = draw.sample(WORDS, 2), f"{draw.randint(1, 99)}.{draw.randint(10, 99)}"
        write(pen, (60, 80 + 80 * row), words, 36)
        write(pen, (820, 80 + 80 * row), [price], 36)
        said += [*words, price]
    noise = np.random.default_rng(draw.randrange(2**32)).normal(0, 8, (1500, 1000, 3))
    return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)), said


def photo(draw: random.Random) -> tuple[Image.Image, list[str]]:
    """Draw what has the detail of a photo: coarse, middle and fine noise."""
    noise = np.random.default_rng(draw.randrange(2**32))
    layers = [
        np.asarray(Image.fromarray(noise.integers(0, 256, (*size, 3), np.uint8)).resize((2400, 1800)), float)
        for size in ((6, 8), (60, 80), (600, 800))
    ]
    mixed = sum(layer * share for layer, share in zip(layers, (0.7, 0.2, 0.1), strict=True))
    return Image.fromarray(np.asarray(mixed).astype(np.uint8)), []


def sign(draw: random.Random) -> tuple[Image.Image, list[str]]:
    picture, _ = photo(draw)
    pen, words, height = ImageDraw.Draw(picture), draw.sample(WORDS, 3), draw.randint(28, 90)
    wide = round(pen.textlength(" ".join(words), font=ImageFont.load_default(height)))
    left, top = draw.randint(20, max(21, 2380 - wide)), draw.randint(20, 1600)
    box = (left - height // 2, top - height // 3, left + wide + height // 2, top + height * 3 // 2)
    pen.rectangle(box, fill="white")
    write(pen, (left, top), words, height)
    return picture, words


KINDS: dict[str, Callable[[random.Random], tuple[Image.Image, list[str]]]] = {
    "screenshots": screenshot,
    "receipts": receipt,
    "photos with a sign": sign,
    "photos without text": photo,
}


def by_clew(folder: Path, place: Path) -> dict[str, str]:
    """Return file -> recognized text, and add the text to the library."""
    update_library(folder, library=place, options=IndexOptions(ocr=True))
    found: dict[str, str] = {}
    with Library.open(place) as library:
        for path, text in library._catalog.db.execute(
            """SELECT f.path, s.text FROM segments s JOIN files f ON f.content = s.content
                WHERE s.text IS NOT NULL ORDER BY s.ordinal"""
        ):
            found[path.decode()] = f"{found.get(path.decode(), '')} {text}"
    return found


def by_rapidocr(folder: Path) -> dict[str, str]:
    from rapidocr import RapidOCR

    engine, found = RapidOCR(params={"Global.log_level": "critical"}), {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as picture:
            said = engine(np.asarray(picture.convert("RGB"))[:, :, ::-1])
        found[path.name] = " ".join(said.txts or ())
    return found


def recall(drawn: dict[str, list[str]], found: dict[str, str]) -> float | None:
    """Return the share of the drawn words that were found."""
    hits = [word in found.get(name, "").lower().split() for name, words in drawn.items() for word in words]
    return float(np.mean(hits)) if hits else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, default=12, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    given = parser.parse_args()
    if given.smoke:
        given.pictures = 1
        for kind in ("screenshots", "receipts"):
            del KINDS[kind]
    print(f"{machine()}; {given.pictures} pictures of each kind, seed {given.seed}\n")
    rows = []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as top:
        for kind, draw_one in KINDS.items():
            draw, folder, drawn = random.Random(f"{given.seed} {kind}"), Path(top) / kind, {}
            folder.mkdir()
            for number in range(given.pictures):
                picture, words = draw_one(draw)
                picture.save(folder / f"{number}.jpg", quality=90)
                drawn[f"{number}.jpg"] = words
            library = Path(top) / f"{kind}.library"
            update_library(folder, library=library, model="builtin")
            ways = {"clew": partial(by_clew, folder, library)}
            ways["rapidocr"] = partial(by_rapidocr, folder)
            for way, run in ways.items():
                begun, busy = perf_counter(), process_time()
                found = run()
                took, busy = perf_counter() - begun, process_time() - busy
                letters = sum(map(len, found.values())) if kind.endswith("without text") else None
                rows.append(
                    {
                        "pictures": kind,
                        "by": way,
                        "pictures/s": given.pictures / took,
                        "CPU s/picture": busy / given.pictures,
                        "words found": recall(drawn, found),
                        "false letters": letters,
                    }
                )
    table(rows)
    emit("ocr", pictures=given.pictures, seed=given.seed, rows=rows)


if __name__ == "__main__":
    main()
