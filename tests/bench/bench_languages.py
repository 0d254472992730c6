"""Measure confidence in 15 languages: things that photos show, absent things, captions and random letters.

    python tests/bench/bench_languages.py --data ../shared/data

A photo shows a thing if one of its English captions names it. Bars: of 20 words in each language, at least 18
present and at most 2 absent things are confident; at least 19 of 20 captions; at most 2 of 20 random strings.
"""

import argparse
import json
import random
import re
import tempfile
from pathlib import Path

import numpy as np
from common import draw_jpegs, emit, machine, table

from indexer import IndexOptions, index_folder
from retrieval import Library
from retrieval.scoring.metrics import roc_auc

DATA = Path(__file__).parents[3] / "shared" / "data"
ABSENT_FILE = Path(__file__).with_name("absent_words_15.jsonl")
SCRIPTS = {
    "Latin": "abcdefghijklmnopqrstuvwxyz",
    "kana": "".join(map(chr, range(0x3042, 0x3094))),
    "Hangul": "".join(map(chr, range(0xAC00, 0xD7A4))),
    "Cyrillic": "".join(map(chr, range(0x430, 0x450))),
    "Thai": "".join(map(chr, range(0xE01, 0xE2F))),
}
UNKNOWN_LANGUAGES = {
    "Finnish": "koira lumessa;lapsi leikkii puistossa;punainen polkupyörä;mies juoksee rannalla;hevonen",
    "Hindi": "बर्फ में कुत्ता;बच्चा;पेड़;समुद्र तट;लाल गाड़ी",
    "Greek": "ένας σκύλος στο χιόνι;παιδί;δέντρο;παραλία;κόκκινο αυτοκίνητο",
}
CAPTION_COUNT = 200
SEED, STRING_COUNT, STRING_LENGTH = 1, 20, 22


def random_strings(letters: str) -> list[str]:
    """Return strings of 22 random letters."""
    rng = random.Random(SEED)
    return ["".join(rng.choices(letters, k=STRING_LENGTH)) for _ in range(STRING_COUNT)]


def best_confidences(library: Library, texts: list[str]) -> list[float]:
    """Return the confidence of the best hit of each text."""
    hits = [library.search(text, count=1) for text in texts]
    return [(found[0].confidence or 0.0) if found else 0.0 for found in hits]


def precision(library: Library, words: str, pattern: str, photos: dict[str, str]) -> float:
    """Return the share of the first ten photos that have the thing in a caption."""
    hits = library.search(words, kind="image", count=10)
    return float(np.mean([re.search(pattern, photos[hit.path.name]) is not None for hit in hits] or [0.0]))


def confident(confidences: list[float]) -> str:
    """Return the number of confident ones, such as "18 of 20"."""
    return f"{sum(each >= 0.75 for each in confidences)} of {len(confidences)}"


def measure(library: Library, data: Path, photos: dict[str, str]) -> list[dict[str, object]]:
    """Return a row for each language, for captions, scripts and unknown languages."""
    present = read_lines(data / "languages" / "words.jsonl")
    absent = read_lines(ABSENT_FILE)
    rows: list[dict[str, object]] = []
    shown, missing, noise = list[float](), list[float](), list[float]()
    for language in absent[0]:
        words = [row["words"][language] for row in present]
        good = best_confidences(library, words)
        bad = best_confidences(library, [row[language] for row in absent])
        shown, missing = shown + good, missing + bad
        found = [precision(library, row["words"][language], row["found_if"], photos) for row in present]
        rows.append(
            {
                "texts": language,
                "present": confident(good),
                "absent": confident(bad),
                "P@10 %": 100 * np.mean(found),
            }
        )
    for language in ("de", "fr"):
        captions = read_lines(data / "languages" / f"captions.{language}.jsonl")[:CAPTION_COUNT]
        texts = [row["captions"][0] for row in captions]
        rows.append({"texts": f"captions {language}", "present": confident(best_confidences(library, texts))})
    for script, letters in SCRIPTS.items():
        found = best_confidences(library, random_strings(letters))
        noise += found
        rows.append({"texts": f"random {script}", "absent": confident(found)})
    for language, texts in UNKNOWN_LANGUAGES.items():
        rows.append({"texts": language, "absent": confident(best_confidences(library, texts.split(";")))})
    for name, others in (("absent things", missing), ("random letters", noise)):
        truth = np.arange(len(shown) + len(others)) < len(shown)
        rows.append({"texts": f"AUROC against {name}", "AUROC": roc_auc(np.array(shown + others), truth)})
    return rows


def read_lines(path: Path) -> list[dict[str, str | list[str]]]:
    """Return the objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def draw_data(data: Path) -> None:
    """Write drawn images in the place of the photos, each with all words as its caption."""
    folder = data / "flickr8k" / "test"
    folder.mkdir(parents=True)
    (data / "languages").mkdir()
    absent = read_lines(ABSENT_FILE)
    for number, jpeg in enumerate(draw_jpegs(40, 160, 120, 1)):
        (folder / f"{number}.jpg").write_bytes(jpeg)
    write_lines(
        folder / "captions.jsonl", [{"image": f"{n}.jpg", "captions": ["a thing"]} for n in range(40)]
    )
    words = [{"found_if": "thing", "words": row} for row in absent[:2]]
    write_lines(data / "languages" / "words.jsonl", words)
    for language in ("de", "fr"):
        captions = [{"captions": [row[language]]} for row in absent[:2]]
        write_lines(data / "languages" / f"captions.{language}.jsonl", captions)


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    """Write objects as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="a folder with flickr8k and languages")
    parser.add_argument("--smoke", action="store_true", help="a few drawn images, to see that it runs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        data = args.data
        if args.smoke:
            data = Path(place) / "data"
            draw_data(data)
        folder = data / "flickr8k" / "test"
        lines = read_lines(folder / "captions.jsonl")
        photos = {Path(row["image"]).name: " | ".join(row["captions"]).lower() for row in lines}
        print(f"{machine()}; {len(photos):,} photos\n")
        options = IndexOptions(exclude=["*.jsonl"])
        library_folder = Path(place) / "library"
        with index_folder(folder, library=library_folder, model="builtin", options=options) as library:
            rows = measure(library, data, photos)
    table(rows)
    emit("languages", photos=len(photos), rows=rows)


if __name__ == "__main__":
    main()
