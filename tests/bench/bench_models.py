"""Measure candidates of the default model with random weights, as clew runs them on this machine.

    python tests/bench/bench_models.py

Each model is prepared in an empty cache, one after the other, with the built-in model as the reference.

recall           published: text to image, recall@1 on MS COCO, in percent (`clew models` names the source)
weights MB       the download, in float32
stored MB        what `clew prepare` writes in addition: exported towers and the tokenizer
prepare s, MB    time and peak memory of `clew prepare`
images/s         in the precision that `clew prepare` chose
cold s, MB       a complete `clew search` by words among 1,000 images: time and peak memory

The tokenizers of SigLIP 2 (Gemma's byte-pair encoding, 256,000 tokens and 580,000 merges) and XLM-RoBERTa
(Unigram, 250,000 tokens) are not in any package. Drawn ones of the same size take their place.
"""

import argparse
import json
import math
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from statistics import median

import numpy as np
from common import Cloud, Took, alone, clew, emit, machine, make_library, run, table, time_of
from PIL import Image

from retrieval.embedders.open_clip import OpenClipEmbedder
from retrieval.embedders.registry import load_embedder, model_cards

MODELS = (
    "ViT-B-32-256/datacomp_s34b_b86k",
    "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k",
    "ViT-B-32-SigLIP2-256/webli",
    "ViT-B-16-SigLIP2/webli",
)
GEMMA_TOKENS, GEMMA_MERGES, XLM_TOKENS = 256_000, 580_000, 250_000
TEXTS = [f"a photo of {number} dogs on the beach" for number in range(1, 41)]


def draw_tokenizer(file: Path) -> None:
    """Replace a byte-pair encoding by one with as many tokens and merges as Gemma's."""
    settings = json.loads(file.read_text())
    rng, vocabulary = random.Random(0), settings["model"]["vocab"]
    tokens = [chr(code) for code in range(0x4E00, 0x5600)]  # Chinese characters
    vocabulary |= {token: at for at, token in enumerate(tokens, len(vocabulary))}
    merges = {}
    while len(vocabulary) < GEMMA_TOKENS:
        pair = rng.choice(tokens), rng.choice(tokens)
        if len(token := "".join(pair)) <= 12 and token not in vocabulary:
            vocabulary[token] = len(vocabulary)
            tokens.append(token)
            merges[pair] = None
    for token in tokens:  # as in Gemma, a token is reached in several ways
        for at in range(1, len(token)):
            if len(merges) < GEMMA_MERGES and token[:at] in vocabulary and token[at:] in vocabulary:
                merges[token[:at], token[at:]] = None
    settings["model"] |= {"vocab": vocabulary, "merges": list(merges)}
    file.write_text(json.dumps(settings))


def draw_unigram_tokenizer(file: Path) -> None:
    """Replace a tokenizer by a Unigram one with as many tokens as XLM-RoBERTa's."""
    settings = json.loads(file.read_text())
    rng = random.Random(0)
    known = settings["model"]["vocab"]
    words = {f"▁{word}": None for text in TEXTS for word in text.split()}  # one token each, as in XLM-RoBERTa
    tokens = dict.fromkeys([*sorted(known, key=known.__getitem__), "▁"]) | words
    while len(tokens) < XLM_TOKENS:
        word = "".join(
            rng.choices("abcdefghijklmnopqrstuvwxyzабвгдежзийклмн一二三四五六七八", k=rng.randint(1, 8))
        )
        tokens[rng.choice(("", "▁")) + word] = None
    vocabulary = [(token, -5.0 if token in words else -rng.uniform(5, 14)) for token in tokens]
    settings["model"] = {"type": "Unigram", "unk_id": list(tokens).index("<unk>"), "vocab": vocabulary}
    file.write_text(json.dumps(settings))


def write_weights(arch: str, place: Path) -> dict[str, object]:
    """Write random weights of an architecture, and its tokenizer. Run in a new process."""
    from tests.support.model_checkpoints import make_checkpoint

    weights = make_checkpoint(arch, place)
    if (tokenizer := place / "tokenizer.json").is_file():
        (draw_unigram_tokenizer if arch.startswith("xlm") else draw_tokenizer)(tokenizer)
    return {"path": str(weights), "weights MB": weights.stat().st_size / 1e6}


def prepare(path: str, arch: str) -> dict[str, float]:
    """Prepare local weights; return its time, memory and size. Run in a new process."""
    from indexer import prepare_model

    took = time_of(lambda: prepare_model(path, arch=arch))
    files = load_embedder(path).prepared.folder.iterdir()
    return {
        "stored MB": sum(file.stat().st_size for file in files if not file.is_symlink()) / 1e6,
        "prepare s": took.wall,
        "prepare MB": getrusage(RUSAGE_SELF).ru_maxrss / 1e3,
    }


def embed(model: str, count: int, rounds: int) -> dict[str, float]:
    """Return the speed of a prepared model without torch, as in a search. Run in a new process."""
    embedder = load_embedder(model)
    if isinstance(embedder, OpenClipEmbedder):
        embedder = OpenClipEmbedder(embedder.prepared, torch_load_seconds=math.inf)
    drawn = np.random.default_rng(0).integers(0, 256, (count, 300, 400, 3), np.uint8)
    images = [embedder.prepare(Image.fromarray(pixels)) for pixels in drawn]

    def fastest(work: Callable[[], object]) -> Took:
        work()
        return min((time_of(work) for _ in range(rounds)), key=lambda took: took.cpu)

    image = fastest(lambda: embedder.embed_images(images))
    text = fastest(lambda: [embedder.embed_texts([text]) for text in TEXTS])
    return {
        "images/s": count / image.wall,
        "cpu ms an image": 1e3 * image.cpu / count,
        "texts/s": len(TEXTS) / text.wall,
        "cpu ms a text": 1e3 * text.cpu / len(TEXTS),
    }


def search(model: str, place: Path, turns: int) -> dict[str, float]:
    """Return the time and memory of complete searches."""
    embedder = load_embedder(model)
    make_library(place, Cloud(1_000, embedder.dim, seed=1), {"image": 1.0}, embedder)
    command = (clew(), "search", TEXTS[0], "--library", place)
    ran = [run(*command) for _ in range(turns + 1)][1:]
    return {
        "cold s": median(each.took.wall for each in ran),
        "cold cpu s": median(each.took.cpu for each in ran),
        "cold MB": max(each.peak for each in ran),
    }


def measure(name: str, options: argparse.Namespace) -> dict[str, object]:
    """Return the row of a model."""
    card = next((card for card in model_cards() if card.name == name), None)
    row = {"model": name, "recall": card and card.recall, "languages": card and card.languages}
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        place, model = Path(folder), name
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        if name != "builtin":
            arch = name.partition("/")[0]
            weights = alone(write_weights, arch, place)
            model = weights.pop("path")
            row |= weights | alone(prepare, model, arch)
        row |= alone(embed, model, options.images, options.rounds)
        return row | alone(search, model, place / "library", options.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="run for a few seconds")
    options = parser.parse_args()
    if options.smoke:
        options.models, options.images, options.rounds = [], 8, 1
    print(f"{machine()}\n")
    rows = [measure(name, options) for name in ("builtin", *options.models)]
    table(rows)
    emit("models", models=rows)


if __name__ == "__main__":
    main()
