"""Measure the blend of words and meaning, and false matches in libraries of several kinds.

    python tests/bench/bench_ranking.py --data ../shared/data/flickr8k

Bars: every hit of the first ten is from the named folder; the first hit of each rare word contains it; other
people's captions find a text as well as by meaning alone; sounds without tags are in no answer; in a folder
of all kinds, at most 5 of 40 queries of random letters and 4 of 30 absent things have a confident match.
"""

import argparse
import json
import random
import re
import shutil
import string
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from common import emit, machine, table
from home_folder import draw_home_folder

from indexer import index_folder
from retrieval import Library, SearchOptions
from tests.support.audio_files import write_audio

FLICKR = Path(__file__).parents[3] / "shared" / "data" / "flickr8k"
SEED, COUNT = 5, 10
FOLDERS = {"Oslo": 1, "Bergen": 3, "Lofoten": 10, "Tromso": 30, "Norway": 200}  # name -> photos
ABSENT_FILE = Path(__file__).with_name("absent_words.txt")
ABSENT = ABSENT_FILE.read_text("utf-8").splitlines()
SOUND_QUERIES = ("quarterly report", "interview", "the", "a concert at night", "qwrtz blorf zzyx", "music")


def gibberish() -> list[str]:
    """Return 40 pairs of random letters."""
    rng = random.Random(SEED)
    return [
        " ".join("".join(rng.choices(string.ascii_lowercase, k=rng.randint(4, 9))) for _ in range(2))
        for _ in range(40)
    ]


def folder_names(photos: list[Path], place: Path) -> list[dict[str, object]]:
    """Count the hits of a folder among the first when its name is searched, alone and with another word."""
    rest = iter(photos)
    for name, count in FOLDERS.items():
        for _ in range(count if len(photos) > 500 else min(count, 3)):
            (place / "pictures" / name).mkdir(parents=True, exist_ok=True)
            shutil.copy(next(rest), place / "pictures" / name)
    (place / "pictures" / "misc").mkdir()
    for photo in rest:
        shutil.copy(photo, place / "pictures" / "misc")
    rows: list[dict[str, object]] = []
    with index_folder(place / "pictures", library=place / "library", model="builtin") as library:
        for name in FOLDERS:
            size = len(list((place / "pictures" / name).iterdir()))
            for words in (name, f"{name} dog"):
                parents = [hit.path.parent.name for hit in library.search(words, count=COUNT)]
                rows.append({"words": words, "photos": size, "of the first 10": parents.count(name)})
                rows[-1]["expected"] = min(size, COUNT)
    return rows


def captions(rows: list[dict], place: Path) -> list[dict[str, object]]:
    """Search texts by other captions of the same photo, and by their rare words."""
    texts = {Path(row["image"]).stem: row["captions"][0] for row in rows}
    (place / "texts").mkdir()
    for name, text in texts.items():
        (place / "texts" / f"{name}.txt").write_text(text + "\n", "utf-8")
    words = Counter(w for text in texts.values() for w in set(re.findall("[a-z]{4,}", text.lower())))
    rare = sorted(word for word, count in words.items() if count <= 3)[:300]
    measured: list[dict[str, object]] = []
    with index_folder(place / "texts", library=place / "library", model="builtin") as library:
        for by in ("meaning", "both"):
            ranks = []
            for row in rows:
                for caption in row["captions"][1:]:
                    hits = library.search(caption, kind="text", count=COUNT, options=SearchOptions(by=by))
                    names = [hit.path.stem for hit in hits]
                    own = Path(row["image"]).stem
                    ranks.append(names.index(own) + 1 if own in names else np.inf)
            at = np.array(ranks)
            measured.append({"by": by, **{f"R@{k}": 100 * float((at <= k).mean()) for k in (1, 10)}})
        first = [library.search(word, kind="text", count=1)[0].path.stem for word in rare]
    right = sum(
        word in re.findall("[a-z]+", texts[name].lower()) for word, name in zip(rare, first, strict=True)
    )
    measured.append({"by": f"rare words, first right: {right} of {len(rare)}"})
    return measured


def false_matches(name: str, library: Library) -> dict[str, object]:
    """Count the queries without an answer that have a confident match."""
    row: dict[str, object] = {"library": name}
    for label, queries in (("random letters", gibberish()), ("absent things", ABSENT)):
        found = sum(library.search(query, count=COUNT).have_good_match for query in queries)
        row[label] = f"{found} of {len(queries)}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=FLICKR, help="a folder with test/ and dev/")
    parser.add_argument("--smoke", action="store_true", help="run in less than a minute")
    args = parser.parse_args()
    photos = sorted((args.data / "test").glob("*.jpg"))[: 60 if args.smoke else 1_000]
    lines = (args.data / "dev" / "captions.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines][: 20 if args.smoke else 300]
    print(f"{machine()}; {args.data}, {len(photos)} photos, {len(rows)} texts, seed {SEED}\n")
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as temporary:
        place = Path(temporary)
        for part in ("folders", "captions", "home", "memos"):
            (place / part).mkdir()
        named = folder_names(photos, place / "folders")
        table(named)
        blended = captions(rows, place / "captions")
        table(blended)
        false = []
        with Library.open(place / "folders" / "library") as library:
            false.append(false_matches("photos", library))
        draw_home_folder(place / "home" / "in", photos[::8])
        with index_folder(
            place / "home" / "in", library=place / "home" / "library", model="builtin"
        ) as library:
            false.append(false_matches("five kinds", library))
        table(false)
        for number in range(30):
            write_audio(place / "folders" / "pictures" / f"memo-{number}.wav", tones=((0, 1, 300 + number),))
        with index_folder(
            place / "folders" / "pictures", library=place / "folders" / "library", model="builtin"
        ) as library:
            sounds = [
                {
                    "words": words,
                    "sounds in the first 10": sum(
                        hit.kind == "audio" for hit in library.search(words, count=COUNT)
                    ),
                }
                for words in SOUND_QUERIES
            ]
        table(sounds)
    emit("ranking", folders=named, captions=blended, false_matches=false, sounds=sounds, seed=SEED)


if __name__ == "__main__":
    main()
