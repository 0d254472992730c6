"""Measure confidence, mixed lists of kinds, and composed queries.

The data are photos and captions of Flickr8k (`--data`), on which the built-in model was not trained.
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
from retrieval import Library, SearchOptions
from retrieval.embedders import builtin
from retrieval.embedders.builtin_model.unigram import UnigramTokenizer
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
TOPICS = {  # photos of each are removed and searched by their captions
    "dogs": "dogs?|puppy|puppies",
    "snow": r"snow\w*|ski\w*",
    "bicycles": r"bik\w+|bicycl\w+|cycl\w+",
    "water": r"swim\w*|pool|ocean|beach|wave|surf\w*|water",
    "climbing": r"climb\w*|rock\w*",
    "ball games": "soccer|football|ball|basketball",
    "children": r"child\w*|boys?|girls?|kids?|toddler|baby",
    "motors": r"motorc\w+|dirt bike|car|race\w*",
}


def gibberish(rng: random.Random) -> str:
    """Return random letters, neighboring keys, syllables, or letters and digits."""
    letters, rows = string.ascii_lowercase, ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    kind = rng.randrange(4)
    if kind == 0:
        return " ".join("".join(rng.choices(letters, k=rng.randint(3, 8))) for _ in range(rng.randint(1, 5)))
    if kind == 1:
        keys = [(rng.choice(rows), rng.randint(0, 3)) for _ in range(rng.randint(1, 4))]
        return " ".join(row[at : at + rng.randint(3, 5)] for row, at in keys)
    if kind == 2:
        pairs = [a + b for a in "bcdfghklmnprst" for b in "aeiou"]
        return " ".join("".join(rng.choices(pairs, k=rng.randint(2, 4))) for _ in range(rng.randint(1, 5)))
    return "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(5, 16)))


def random_words(rng: random.Random, vocabulary: list[str]) -> str:
    """Return unrelated words."""
    return " ".join(rng.choices(vocabulary, k=rng.randint(2, 7)))


def read(data: Path, limit: int) -> list[tuple[Path, list[str]]]:
    rows = [json.loads(line) for line in (data / "captions.jsonl").read_text().splitlines() if line]
    return [(data / row["image"], row["captions"]) for row in rows[:limit]]


def present_or_absent(
    place: Path, photos: list[tuple[Path, list[str]]], each: int
) -> list[dict[str, object]]:
    """Measure how well confidence and cosine separate queries for present and for absent things."""
    rng = random.Random(SEED)
    pieces = UnigramTokenizer(builtin.MODEL_FOLDER / "tokenizer").pieces()
    words = [piece[1:] for piece, _ in pieces if piece.startswith("▁")]
    vocabulary = [word for word in words if word.isascii() and word.isalpha() and len(word) > 3]
    update_library([photos[0][0].parent], library=place / "presence", model="builtin")
    queries = {
        "captions of its photos": [text for _, texts in photos for text in texts],
        "short words for its photos": (HERE / "present_things.txt").read_text().splitlines(),
        "gibberish": [gibberish(rng) for _ in range(each)],
        "random words": [random_words(rng, vocabulary) for _ in range(each)],
        "absent things": (HERE / "absent_things.txt").read_text().splitlines(),
    }
    with Library.open(place / "presence") as library:
        best = {
            name: np.array([_best(library, text) for text in texts], np.float64)
            for name, texts in queries.items()
        }
    present = list(queries)[:2]
    rows: list[dict[str, object]] = []
    for name, found in best.items():
        row: dict[str, object] = {"queries for": name, "queries": len(found)}
        row["reported matches %"] = 100 * float((found[:, 0] >= CONFIDENCE_THRESHOLD).mean())
        if name not in present:
            for label, true in zip(("captions", "short"), present, strict=True):
                both = np.concatenate([best[true], found])
                truth = np.arange(len(both)) < len(best[true])
                row[f"AUROC {label}"] = roc_auc(both[:, 0], truth)
                row[f"by cosine {label}"] = roc_auc(both[:, 1], truth)
        rows.append(row)
    wrong = np.concatenate([found for name, found in best.items() if name not in present])
    false = float((wrong[:, 0] >= CONFIDENCE_THRESHOLD).mean())
    missed = float((best[present[0]][:, 0] < CONFIDENCE_THRESHOLD).mean())
    print(f"at confidence {CONFIDENCE_THRESHOLD}: {false:.1%} of the absent things match, ", end="")
    print(f"{missed:.1%} of the captions do not\n")
    return rows


def _best(library: Library, text: str) -> tuple[float, float]:
    hit = library.search(quote(text), kind="image", count=1, options=SearchOptions(by="meaning"))[0]
    assert hit.confidence is not None
    return hit.confidence, hit.score


def removed_topics(
    photos: list[tuple[Path, list[str]]], vectors: Vectors, texts: Vectors
) -> list[dict[str, object]]:
    """Search for the photos of a topic after they were removed, among similar photos."""
    captions = [text for _, texts in photos for text in texts]
    owner = np.repeat(np.arange(len(photos)), [len(captions) for _, captions in photos])
    bank = load_embedder("builtin").embed_texts(calibrate.load_background_queries())
    rows: list[dict[str, object]] = []
    for topic, pattern in TOPICS.items():
        on_topic = np.array([re.search(rf"\b({pattern})\b", text.lower()) is not None for text in captions])
        removed = np.isin(np.arange(len(photos)), owner[on_topic])
        if removed.all() or not on_topic.any():
            continue
        rest = vectors[~removed]
        best = BestScores(bank)
        best.update(rest)
        calibration = best.fit()
        assert calibration is not None
        queries = texts[on_topic | ~removed[owner]]
        truth = ~on_topic[on_topic | ~removed[owner]]
        cosines = queries @ rest.T
        levels, spreads = calibrate.rival_levels(rest @ bank.T)
        nearest = np.argsort(-cosines, axis=1)[:, : calibration.nearest]
        standard = (np.take_along_axis(cosines, nearest, axis=1) - levels[nearest]) / spreads[nearest]
        z_scores = calibration.z_scores(calibrate.mean_standard_score(standard))
        rows.append(
            {
                "topic": topic,
                "photos left": len(rest),
                "AUROC": roc_auc(z_scores, truth),
                "by cosine": roc_auc(cosines.max(axis=1), truth),
            }
        )
    return rows


def mixed(place: Path, photos: list[tuple[Path, list[str]]]) -> list[dict[str, object]]:
    """Search in one list for a photo, or for a note with another of its captions, by one of its captions."""
    rows: list[dict[str, object]] = []
    for name, kind_at in (
        ("half photos, half notes", lambda at: at % 2),
        ("photos and notes", lambda at: None),
    ):
        home = place / name.replace(" ", "-")
        (home / "photos").mkdir(parents=True)
        (home / "notes").mkdir()
        for at, (photo, captions) in enumerate(photos):
            if kind_at(at) != 1:
                copy(photo, home / "photos" / f"{at}.jpg")
            if kind_at(at) != 0:
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
        knowing = np.mean([found["notes" if kind_at(at) == 1 else "photos"][at] for at in range(len(photos))])
        for label, right in found.items():
            rows.append(
                {
                    "library": name,
                    "list of": label,
                    "recall@10": 100 * float(right.mean()),
                    "x best kind": float(right.mean() / alone),
                    "x knowing the kind": float(right.mean() / knowing) if kind_at(0) == 0 else None,
                }
            )
    return rows


def _found(library: Library, photos: list[tuple[Path, list[str]]], kind: str | None, by_cosine=False):
    """Return for each photo if a search for its second caption finds it or its first caption in ten hits."""
    right = []
    for at, (_, captions) in enumerate(photos):
        text = quote(captions[1])
        hits = library.search(text, kind=kind, count=COUNT, options=SearchOptions(by="meaning"))
        if by_cosine:
            both = [
                hit
                for each_kind in ("image", "text")
                for hit in library.search(
                    text, kind=each_kind, count=COUNT, options=SearchOptions(by="meaning")
                )
            ]
            hits = sorted(both, key=lambda hit: -hit.score)[:COUNT]
        right.append(any(hit.path.stem == str(at) for hit in hits))
    return np.array(right)


def composed(
    photos: list[tuple[Path, list[str]]], vectors: Vectors, texts: Vectors
) -> list[dict[str, object]]:
    """Search for a photo by the sum of one of its captions and another photo, a similar or a random one."""
    rng = np.random.default_rng(SEED)
    owner = np.repeat(np.arange(len(photos)), [len(captions) for _, captions in photos])
    bank = load_embedder("builtin").embed_texts(calibrate.load_background_queries())
    mean = bank.mean(axis=0)
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -1)
    targets = np.arange(len(photos))
    captions = np.array([rng.choice(np.flatnonzero(owner == target)) for target in targets])
    others = {
        "one of the ten nearest": np.argsort(-similarities, axis=1)[:, :COUNT][
            targets, rng.integers(COUNT, size=len(targets))
        ],
        "any": rng.integers(len(photos), size=len(targets)),
    }
    rows: list[dict[str, object]] = []
    for name, other in others.items():
        recalls = {}
        for label, center in (("centered", mean), ("plain sum", None)):
            queries = [
                combine_terms(
                    [
                        EncodedTerm("", "words", 1, texts[[text]]),
                        EncodedTerm("", "picture", 1, vectors[[row]]),
                    ],
                    lambda center=center: center,
                )
                for text, row in zip(captions, other, strict=True)
            ]
            scores = np.concatenate(queries) @ vectors.T
            scores[targets, other] = -1
            better = (scores > scores[targets, targets][:, None]).sum(axis=1)
            recalls[label] = 100 * float((better < COUNT).mean())
        rows.append(
            {"added photo": name, **recalls, "centered is x": recalls["centered"] / recalls["plain sum"]}
        )
    return rows


def embed(photos: list[tuple[Path, list[str]]]) -> tuple[Vectors, Vectors]:
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
    args = parser.parse_args()
    count, each = (60, 20) if args.smoke else (args.count, 500)
    print(f"{machine()}; {args.data}, at most {count} photos, seed {SEED}\n")
    if not args.data.is_dir():
        raise SystemExit(f"{args.data} does not exist. Use --data to name a folder of photos and captions.")
    photos = read(args.data, count)
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as place:
        copies = copy_photos(photos, Path(place) / "photos")
        presence = present_or_absent(Path(place), copies, each)
        table(presence)
        kinds = mixed(Path(place), copies)
        table(kinds)
    vectors, texts = embed(photos)
    removed = removed_topics(photos, vectors, texts)
    table(removed)
    added = composed(photos, vectors, texts)
    table(added)
    emit(
        "answers",
        photos=len(photos),
        seed=SEED,
        presence=presence,
        mixed=kinds,
        removed_topics=removed,
        composed=added,
    )


def copy_photos(photos: list[tuple[Path, list[str]]], folder: Path) -> list[tuple[Path, list[str]]]:
    folder.mkdir()
    return [(Path(copy(photo, folder)), captions) for photo, captions in photos]


if __name__ == "__main__":
    main()
