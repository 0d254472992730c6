"""Measure confidence, mixed lists of kinds, and composed queries.

The data are Flickr8k's photos and captions, which the built-in model was not trained on (`--data`).
"""

import argparse
import json
import random
import re
import string
import tempfile
from pathlib import Path
from shutil import copy

import numpy as np

from indexer import update_library
from indexer.maintenance.calibrate import BestScores
from retrieval import Library
from retrieval.embedders import builtin
from retrieval.embedders.registry import load_embedder
from retrieval.media.images.loader import load_image
from retrieval.query.encoder import EncodedTerm, combine_terms
from retrieval.query.lexer import quote
from retrieval.scoring import calibration as calibrate
from retrieval.scoring.metrics import roc_auc
from retrieval.types import CONFIDENCE_THRESHOLD, Vectors
from tests.bench.common import emit, machine, table

HERE = Path(__file__).parent
FLICKR = HERE.parents[2] / "shared" / "data" / "flickr8k" / "test"
SEED, COUNT = 5, 10
TOPICS = {  # photos of each are removed, and searched by their captions
    "dogs": "dogs?|puppy|puppies",
    "snow": r"snow\w*|ski\w*",
    "bicycles": r"bik\w+|bicycl\w+|cycl\w+",
    "water": r"swim\w*|pool|ocean|beach|wave|surf\w*|water",
    "climbing": r"climb\w*|rock\w*",
    "ball games": "soccer|football|ball|basketball",
    "children": r"child\w*|boys?|girls?|kids?|toddler|baby",
    "motors": r"motorc\w+|dirt bike|car|race\w*",
}


def gibberish(draw: random.Random) -> str:
    """Return random keys, syllables, or a string of letters and digits."""
    letters, rows = string.ascii_lowercase, ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    kind = draw.randrange(4)
    if kind == 0:
        return " ".join(
            "".join(draw.choices(letters, k=draw.randint(3, 8))) for _ in range(draw.randint(1, 5))
        )
    if kind == 1:
        keys = [(draw.choice(rows), draw.randint(0, 3)) for _ in range(draw.randint(1, 4))]
        return " ".join(row[at : at + draw.randint(3, 5)] for row, at in keys)
    if kind == 2:
        pairs = [a + b for a in "bcdfghklmnprst" for b in "aeiou"]
        return " ".join("".join(draw.choices(pairs, k=draw.randint(2, 4))) for _ in range(draw.randint(1, 5)))
    return "".join(draw.choices(string.ascii_letters + string.digits, k=draw.randint(5, 16)))


def random_words(draw: random.Random, vocabulary: list[str]) -> str:
    """Return unrelated words."""
    return " ".join(draw.choices(vocabulary, k=draw.randint(2, 7)))


def read(data: Path, limit: int) -> list[tuple[Path, list[str]]]:
    rows = [json.loads(line) for line in (data / "captions.jsonl").read_text().splitlines() if line]
    return [(data / row["image"], row["captions"]) for row in rows[:limit]]


def honest(place: Path, photos: list[tuple[Path, list[str]]], each: int) -> list[dict[str, object]]:
    """Search for present and for absent things; report how well confidence and cosine separate them."""
    draw = random.Random(SEED)
    known = json.loads((builtin.MODEL_FOLDER / "tokenizer.json").read_text())["model"]["vocab"]
    vocabulary = [word for word in known if word.isalpha() and len(word) > 3]
    update_library([photos[0][0].parent], library=place / "honest", model="builtin")
    asked = {
        "captions of its photos": [text for _, texts in photos for text in texts],
        "short words for its photos": (HERE / "present_things.txt").read_text().splitlines(),
        "gibberish": [gibberish(draw) for _ in range(each)],
        "random words": [random_words(draw, vocabulary) for _ in range(each)],
        "absent things": (HERE / "absent_things.txt").read_text().splitlines(),
    }
    with Library.open(place / "honest") as library:
        best = {
            name: np.array([_best(library, text) for text in texts], np.float64)
            for name, texts in asked.items()
        }
    there = list(asked)[:2]
    rows: list[dict[str, object]] = []
    for name, found in best.items():
        row: dict[str, object] = {"asked for": name, "queries": len(found)}
        row["reported matches %"] = 100 * float((found[:, 0] >= CONFIDENCE_THRESHOLD).mean())
        if name not in there:
            for label, true in zip(("captions", "short"), there, strict=True):
                both = np.concatenate([best[true], found])
                truth = np.arange(len(both)) < len(best[true])
                row[f"AUROC {label}"] = roc_auc(both[:, 0], truth)
                row[f"by cosine {label}"] = roc_auc(both[:, 1], truth)
        rows.append(row)
    wrong = np.concatenate([found for name, found in best.items() if name not in there])
    false = float((wrong[:, 0] >= CONFIDENCE_THRESHOLD).mean())
    missed = float((best[there[0]][:, 0] < CONFIDENCE_THRESHOLD).mean())
    print(f"at confidence {CONFIDENCE_THRESHOLD}: {false:.1%} of the absent things match, ", end="")
    print(f"{missed:.1%} of the captions do not\n")
    return rows


def _best(library: Library, text: str) -> tuple[float, float]:
    hit = library.search(quote(text), kind="image", count=1, by="meaning")[0]
    assert hit.confidence is not None
    return hit.confidence, hit.score


def taken_out(
    photos: list[tuple[Path, list[str]]], vectors: Vectors, texts: Vectors
) -> list[dict[str, object]]:
    """Remove the photos of a topic and search for them, among similar photos."""
    captions = [text for _, said in photos for text in said]
    owner = np.repeat(np.arange(len(photos)), [len(said) for _, said in photos])
    bank = load_embedder("builtin").embed_texts(calibrate.load_background_queries())
    rows: list[dict[str, object]] = []
    for topic, pattern in TOPICS.items():
        asks = np.array([re.search(rf"\b({pattern})\b", text.lower()) is not None for text in captions])
        gone = np.isin(np.arange(len(photos)), owner[asks])
        if gone.all() or not asks.any():
            continue
        rest = vectors[~gone]
        best = BestScores(bank)
        best.update(rest)
        calibration = best.fit()
        assert calibration is not None
        kept = texts[asks | ~gone[owner]]
        truth = ~asks[asks | ~gone[owner]]
        cosines = kept @ rest.T
        first = np.argsort(-cosines, axis=1)[:, : calibrate.TOP_N]
        usual = np.array(
            [
                calibrate.baseline_score(text, rest[near], best.mean_query)
                for text, near in zip(kept, first, strict=True)
            ]
        )
        surprise = calibration.z_scores(cosines.max(axis=1), 0.0) - usual / calibration.spread
        rows.append(
            {
                "taken out": topic,
                "photos left": len(rest),
                "AUROC": roc_auc(surprise, truth),
                "by cosine": roc_auc(cosines.max(axis=1), truth),
            }
        )
    return rows


def mixed(place: Path, photos: list[tuple[Path, list[str]]]) -> list[dict[str, object]]:
    """Search with one caption for a photo, or for a text with another of its captions, in one list."""
    rows: list[dict[str, object]] = []
    for name, has in (("half photos, half notes", lambda at: at % 2), ("photos and notes", lambda at: None)):
        home = place / name.replace(" ", "-")
        (home / "photos").mkdir(parents=True)
        (home / "notes").mkdir()
        for at, (photo, captions) in enumerate(photos):
            if has(at) != 1:
                copy(photo, home / "photos" / f"{at}.jpg")
            if has(at) != 0:
                (home / "notes" / f"{at}.txt").write_text(captions[0])
        update_library([home / "photos", home / "notes"], library=home / "library", model="builtin")
        with Library.open(home / "library") as library:
            found = {
                label: _found(library, photos, kind)
                for label, kind in (("photos", "image"), ("notes", "text"))
            }
            found["all, by confidence"] = _found(library, photos, None)
            found["all, by cosine"] = _found(library, photos, None, by_cosine=True)
        alone = max(found["photos"].mean(), found["notes"].mean())
        knowing = np.mean([found["notes" if has(at) == 1 else "photos"][at] for at in range(len(photos))])
        for label, right in found.items():
            rows.append(
                {
                    "library": name,
                    "list of": label,
                    "recall@10": 100 * float(right.mean()),
                    "x best kind": float(right.mean() / alone),
                    "x knowing the kind": float(right.mean() / knowing) if has(0) == 0 else None,
                }
            )
    return rows


def _found(library: Library, photos: list[tuple[Path, list[str]]], kind: str | None, by_cosine=False):
    """Return for each photo whether its second caption finds it, or its first caption, among ten hits."""
    right = []
    for at, (_, captions) in enumerate(photos):
        text = quote(captions[1])
        hits = library.search(text, kind=kind, count=COUNT, by="meaning")
        if by_cosine:
            both = [
                hit
                for one in ("image", "text")
                for hit in library.search(text, kind=one, count=COUNT, by="meaning")
            ]
            hits = sorted(both, key=lambda hit: -hit.score)[:COUNT]
        right.append(any(hit.path.stem == str(at) for hit in hits))
    return np.array(right)


def composed(
    photos: list[tuple[Path, list[str]]], vectors: Vectors, texts: Vectors
) -> list[dict[str, object]]:
    """Add a caption of a photo to another photo, and search for the first: near it, or any."""
    draw = np.random.default_rng(SEED)
    owner = np.repeat(np.arange(len(photos)), [len(said) for _, said in photos])
    bank = load_embedder("builtin").embed_texts(calibrate.load_background_queries())
    means = {"words": bank.mean(axis=0), "picture": vectors.mean(axis=0)}
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -1)
    targets = np.arange(len(photos))
    captions = np.array([draw.choice(np.flatnonzero(owner == target)) for target in targets])
    others = {
        "one of the ten nearest": np.argsort(-alike, axis=1)[:, :COUNT][
            targets, draw.integers(COUNT, size=len(targets))
        ],
        "any": draw.integers(len(photos), size=len(targets)),
    }
    rows: list[dict[str, object]] = []
    for name, other in others.items():
        recalls = {}
        for label, centres in (("centred", means), ("plain sum", {})):
            asked = [
                combine_terms(
                    [
                        EncodedTerm("", "words", 1, texts[[text]]),
                        EncodedTerm("", "picture", 1, vectors[[seen]]),
                    ],
                    centres.get,
                )
                for text, seen in zip(captions, other, strict=True)
            ]
            scores = np.concatenate(asked) @ vectors.T
            scores[targets, other] = -1
            better = (scores > scores[targets, targets][:, None]).sum(axis=1)
            recalls[label] = 100 * float((better < COUNT).mean())
        rows.append(
            {"the picture added": name, **recalls, "centred is x": recalls["centred"] / recalls["plain sum"]}
        )
    return rows


def embedded(photos: list[tuple[Path, list[str]]]) -> tuple[Vectors, Vectors]:
    """Embed photos and their captions."""
    embedder = load_embedder("builtin")
    prepared = [embedder.prepare(load_image(photo, min_side=embedder.min_image_side)) for photo, _ in photos]
    texts = [text for _, captions in photos for text in captions]
    return embedder.embed_images(prepared), embedder.embed_texts(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=FLICKR, help="a folder of photos and captions.jsonl")
    parser.add_argument("--count", type=int, default=1_000, help="photos")
    parser.add_argument("--smoke", action="store_true", help="run in less than a minute")
    given = parser.parse_args()
    count, each = (60, 20) if given.smoke else (given.count, 500)
    print(f"{machine()}; {given.data}, at most {count} photos, seed {SEED}\n")
    if not given.data.is_dir():
        raise SystemExit(f"{given.data} is not there; name photos and captions with --data.")
    photos = read(given.data, count)
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        there = copied(photos, Path(place) / "photos")
        said = honest(Path(place), there, each)
        table(said)
        kinds = mixed(Path(place), there)
        table(kinds)
    vectors, texts = embedded(photos)
    out = taken_out(photos, vectors, texts)
    table(out)
    added = composed(photos, vectors, texts)
    table(added)
    emit("answers", photos=len(photos), seed=SEED, honest=said, mixed=kinds, taken_out=out, composed=added)


def copied(photos: list[tuple[Path, list[str]]], folder: Path) -> list[tuple[Path, list[str]]]:
    folder.mkdir()
    return [(Path(copy(photo, folder)), captions) for photo, captions in photos]


if __name__ == "__main__":
    main()
