"""Measure text recognition in images: images per second, and the share of drawn words that are recognized.

    python tests/bench/bench_ocr.py --images 12

`clew` is the second run of `clew index --ocr` over a folder whose images are already embedded: it decodes,
recognizes, embeds the text and writes. `rapidocr` is that library with its default options, one image at a
time with all its threads. Words are compared without regard to case.
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
    pen: ImageDraw.ImageDraw, place: tuple[int, int], words: list[str], height: int, color="black"
) -> None:
    pen.text(place, " ".join(words), fill=color, font=ImageFont.load_default(height))


def screenshot(rng: random.Random) -> tuple[Image.Image, list[str]]:
    image = Image.new("RGB", (1440, 900), "#f4f4f4")
    pen, drawn = ImageDraw.Draw(image), []
    for row in range(14):
        words = rng.sample(WORDS, rng.randint(2, 7))
        write(pen, (60 + 40 * (row % 3), 40 + 60 * row), words, rng.choice((15, 18, 22)))
        drawn += words
    return image, drawn


def receipt(rng: random.Random) -> tuple[Image.Image, list[str]]:
    image = Image.new("RGB", (1000, 1500), "#fbfaf4")
    pen, drawn = ImageDraw.Draw(image), []
    for row in range(16):
        words, price = rng.sample(WORDS, 2), f"{rng.randint(1, 99)}.{rng.randint(10, 99)}"
        write(pen, (60, 80 + 80 * row), words, 36)
        write(pen, (820, 80 + 80 * row), [price], 36)
        drawn += [*words, price]
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 8, (1500, 1000, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)), drawn


def photo(rng: random.Random) -> tuple[Image.Image, list[str]]:
    """Draw coarse, medium and fine noise, with the detail of a photo."""
    noise = np.random.default_rng(rng.randrange(2**32))
    layers = [
        np.asarray(Image.fromarray(noise.integers(0, 256, (*size, 3), np.uint8)).resize((2400, 1800)), float)
        for size in ((6, 8), (60, 80), (600, 800))
    ]
    mixed = sum(layer * share for layer, share in zip(layers, (0.7, 0.2, 0.1), strict=True))
    return Image.fromarray(np.asarray(mixed).astype(np.uint8)), []


def sign(rng: random.Random) -> tuple[Image.Image, list[str]]:
    image, _ = photo(rng)
    pen, words, height = ImageDraw.Draw(image), rng.sample(WORDS, 3), rng.randint(28, 90)
    width = round(pen.textlength(" ".join(words), font=ImageFont.load_default(height)))
    left, top = rng.randint(20, max(21, 2380 - width)), rng.randint(20, 1600)
    box = (left - height // 2, top - height // 3, left + width + height // 2, top + height * 3 // 2)
    pen.rectangle(box, fill="white")
    write(pen, (left, top), words, height)
    return image, words


KINDS: dict[str, Callable[[random.Random], tuple[Image.Image, list[str]]]] = {
    "screenshots": screenshot,
    "receipts": receipt,
    "photos with a sign": sign,
    "photos without text": photo,
}


def by_clew(folder: Path, place: Path) -> dict[str, str]:
    """Return file -> recognized text, and add the text to the library."""
    update_library(folder, library=place, options=IndexOptions(ocr=True))
    texts: dict[str, str] = {}
    with Library.open(place) as library:
        for path, text in library._catalog.db.execute(
            """SELECT f.path, s.text FROM segments s JOIN files f ON f.content = s.content
                WHERE s.text IS NOT NULL ORDER BY s.ordinal"""
        ):
            texts[path.decode()] = f"{texts.get(path.decode(), '')} {text}"
    return texts


def by_rapidocr(folder: Path) -> dict[str, str]:
    from rapidocr import RapidOCR

    engine, texts = RapidOCR(params={"Global.log_level": "critical"}), {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            output = engine(np.asarray(image.convert("RGB"))[:, :, ::-1])
        texts[path.name] = " ".join(output.txts or ())
    return texts


def recall(drawn: dict[str, list[str]], recognized: dict[str, str]) -> float | None:
    """Return the share of the drawn words that were recognized."""
    hits = [
        word in recognized.get(name, "").lower().split() for name, words in drawn.items() for word in words
    ]
    return float(np.mean(hits)) if hits else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=12, help="images of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    args = parser.parse_args()
    if args.smoke:
        args.images = 1
        for kind in ("screenshots", "receipts"):
            del KINDS[kind]
    print(f"{machine()}; {args.images} images of each kind, seed {args.seed}\n")
    rows = []
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as top:
        for kind, draw_one in KINDS.items():
            rng, folder, drawn = random.Random(f"{args.seed} {kind}"), Path(top) / kind, {}
            folder.mkdir()
            for number in range(args.images):
                image, words = draw_one(rng)
                image.save(folder / f"{number}.jpg", quality=90)
                drawn[f"{number}.jpg"] = words
            library = Path(top) / f"{kind}.library"
            update_library(folder, library=library, model="builtin")
            ways = {"clew": partial(by_clew, folder, library)}
            ways["rapidocr"] = partial(by_rapidocr, folder)
            for way, run in ways.items():
                start, cpu = perf_counter(), process_time()
                texts = run()
                seconds, cpu = perf_counter() - start, process_time() - cpu
                letters = sum(map(len, texts.values())) if kind.endswith("without text") else None
                rows.append(
                    {
                        "images": kind,
                        "by": way,
                        "images/s": args.images / seconds,
                        "CPU s/image": cpu / args.images,
                        "words found": recall(drawn, texts),
                        "false letters": letters,
                    }
                )
    table(rows)
    emit("ocr", images=args.images, seed=args.seed, rows=rows)


if __name__ == "__main__":
    main()
