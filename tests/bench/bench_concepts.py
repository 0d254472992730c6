"""Measure concepts of a few examples on Flickr8k: average precision on the other photos.

    python tests/bench/bench_concepts.py [--part test] [--smoke]

A photo shows a concept if two of its five captions name it. Examples of each concept are drawn ROUNDS times;
`against` adds as many counterexamples: the photos without the concept that are nearest to the mean of the
examples. `word` ranks by the name of the concept, `mean` by the mean of the examples (search by image),
`probe` by the fitted direction, and `chance` is the share of photos that show the concept. All are measured
on the same photos, without the examples. `refused` is the share of example sets that were not separable; the
last rows show it for unrelated examples. `confident precision` and `confident recall` are of the photos with
a confident match. Finally the milliseconds of a fit with 20 examples and 300 others, in 512 dimensions.
"""

import argparse
import json
import re
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from common import Cloud, emit, machine, table
from PIL import Image

from indexer.embed.files import round_to_float16
from retrieval.embedders.registry import load_embedder
from retrieval.media.images.loader import load_image
from retrieval.scoring.calibration import Z_QUARTILE, normalize_rows
from retrieval.scoring.linear_probe import MIN_AUROC, fit_probe
from retrieval.scoring.metrics import roc_auc

DATA = Path(__file__).parents[3] / "shared" / "data" / "flickr8k"
ROUNDS, OTHERS, COUNTS = 10, 300, (5, 10, 20)
CONCEPTS = {
    "dog": "dogs?|pupp(y|ies)",
    "snow": r"snow\w*",
    "bicycle": "bicycles?|bikes?|bicyclists?|cyclists?",
    "water": "water|pool|ocean|lake|sea",
    "child": "child|children|boys?|girls?|kids?|toddlers?|baby",
    "beach": "beach|sand|shore",
    "grass": r"grass\w*",
    "ball": r"\w*ball",
    "climber": r"climb\w*|rock",
}


def average_precision(scores, relevant):
    sorted_relevance = relevant[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(sorted_relevance) / np.arange(1, len(relevant) + 1))[sorted_relevance].mean())


def photos(part: Path):
    """Return the unit vectors of the photos in a folder, and concepts x photos: True if shown."""
    embedder, rows, shown = load_embedder("builtin"), [], []
    captions = [json.loads(line) for line in (part / "captions.jsonl").open()]
    for line in captions:
        image = load_image(part / line["image"], min_side=embedder.min_image_side)
        rows.append(embedder.embed_images([embedder.prepare(image)])[0])
        texts = [caption.lower() for caption in line["captions"]]
        shown.append(
            [
                sum(bool(re.search(rf"\b({names})\b", text)) for text in texts) >= 2
                for names in CONCEPTS.values()
            ]
        )
    return normalize_rows(round_to_float16(np.array(rows))), np.array(shown).T


def draw(place: Path) -> Path:
    """Draw photos of snow and of grass, with captions."""
    lines, rng = [], np.random.default_rng(0)
    for number in range(40):
        color = (240, 240, 250) if number % 2 else (40, 140, 40)
        grain = rng.integers(-15, 16, (96, 96, 3))
        Image.fromarray(np.clip(grain + color, 0, 255).astype(np.uint8)).save(place / f"{number}.jpg")
        lines.append({"image": f"{number}.jpg", "captions": ["snow" if number % 2 else "grass"] * 5})
    (place / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return place


def measure(vectors, shows, word, count: int, against: bool, seed: int):
    """Return the measures of each method for examples that are drawn with a seed."""
    positives = np.random.default_rng([seed, count]).choice(np.flatnonzero(shows), count, replace=False)
    mean = vectors[positives].mean(axis=0)
    irrelevant = np.flatnonzero(~shows)
    negatives = irrelevant[np.argsort(-(vectors[irrelevant] @ (mean - vectors.mean(axis=0))))][
        : count * against
    ]
    left = np.ones(len(vectors), bool)
    left[positives] = left[negatives] = False
    others = vectors[np.linspace(0, len(vectors) - 1, OTHERS, dtype=int)]
    probe = fit_probe(vectors[positives], vectors[negatives], others)
    directions = {"word": word, "mean": mean, "probe": probe.direction}
    precisions = {
        name: average_precision(vectors[left] @ direction, shows[left])
        for name, direction in directions.items()
    }
    confident = probe.z_scores(vectors[left] @ probe.direction) >= Z_QUARTILE
    correct = (confident & shows[left]).sum()
    return precisions | {
        "chance": float(shows[left].mean()),
        "AUROC": roc_auc(vectors[left] @ probe.direction, shows[left]),
        "held out": probe.auroc,
        "refused": float(probe.auroc < MIN_AUROC),
        "confident precision": correct / max(1, confident.sum()),
        "confident recall": correct / shows[left].sum(),
    }


def measure_unrelated(vectors, count: int, seed: int) -> float:
    """Return 1 if a probe of unrelated examples is not separable, else 0."""
    drawn = np.random.default_rng([seed, count, 1]).permutation(len(vectors))
    others = vectors[np.linspace(0, len(vectors) - 1, OTHERS, dtype=int)]
    return float(
        fit_probe(vectors[drawn[:count]], vectors[drawn[count : 2 * count]], others).auroc < MIN_AUROC
    )


def time_fit() -> float:
    """Return the milliseconds of a fit in 512 dimensions."""
    rows = next(Cloud(OTHERS + 20, 512, 0).chunks())
    times = []
    for _ in range(20):
        start = perf_counter()
        fit_probe(rows[:10], rows[10:20], rows[20:])
        times.append(1000 * (perf_counter() - start))
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("dev", "test"), default="test")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    print(f"builtin, {ROUNDS} draws per concept, seeds 0-{ROUNDS - 1}; {machine()}\n")
    with tempfile.TemporaryDirectory() as drawn:
        vectors, shown = photos(draw(Path(drawn)) if args.smoke else DATA / args.part)
    words = load_embedder("builtin").embed_texts(list(CONCEPTS))
    rows, concept_rows = [], []
    for count in COUNTS[: 1 if args.smoke else None]:
        for against in (False, True):
            results = {
                name: [measure(vectors, shows, word, count, against, seed) for seed in range(ROUNDS)]
                for name, shows, word in zip(CONCEPTS, shown, words, strict=True)
                if shows.sum() >= 2 * count
            }
            means = {
                name: {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
                for name, runs in results.items()
            }
            label = f"{count}{' and as many against' * against}"
            keys = next(iter(means.values()))
            rows.append(
                {"examples": label} | {key: float(np.mean([m[key] for m in means.values()])) for key in keys}
            )
            concept_rows += [{"concept": name, "examples": label, **mean} for name, mean in means.items()]
    for count in COUNTS[: 1 if args.smoke else None]:
        refused = np.mean([measure_unrelated(vectors, count, seed) for seed in range(100)])
        rows.append({"examples": f"{count} and as many against, unrelated", "refused": float(refused)})
    table(concept_rows)
    table(rows)
    fit_ms = time_fit()
    print(f"a fit of 20 examples and {OTHERS} others, 512 dimensions: {fit_ms:.1f} ms\n")
    emit("concepts", part="drawn" if args.smoke else args.part, rows=rows, fit_ms=fit_ms)


if __name__ == "__main__":
    main()
