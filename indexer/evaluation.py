"""Measure a model on pairs that a person has: the pipeline's own decoding, embedding and rounding."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer import models
from indexer.ahead import ahead
from indexer.embed import batches, embed
from indexer.hub import Say
from indexer.read import Read, read
from indexer.walk import Found
from retrieval.embedders import Embedder
from retrieval.errors import CaptionsError
from retrieval.evaluate import Relevant, measure
from retrieval.machine import cores
from retrieval.records import Failure, Vectors


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well captions find their pictures and pictures their captions."""

    text_to_image: dict[str, float]
    image_to_text: dict[str, float]
    space: str
    pairs: int
    pictures: int
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture and its captions."""

    image: Path
    captions: tuple[str, ...]


def evaluate(
    captions: str | Path,
    *,
    model: str = "builtin",
    arch: str | None = None,
    device: str | None = None,
    embedder: Embedder | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Say = models.silent,
) -> Evaluation:
    """Measure recall@1/5/10, MRR and nDCG@10 both ways on a captions file.

    The file is JSON lines of {"image": path relative to the file, "captions": [...]}. A picture that
    cannot be read is left out and said. Raises CaptionsError.
    """
    encoder = embedder or models.ready(model, arch=arch, device=device, say=say)
    pairs = read_pairs(Path(captions).expanduser())
    vectors, failures = _embed_pictures(encoder, [pair.image for pair in pairs], progress)
    kept = [row for row, pair in enumerate(pairs) if pair.image in vectors]
    if not kept:
        raise CaptionsError(f"None of the pictures of {captions} can be read: {failures[0].reason}.")
    captioned = [(row, text) for row in kept for text in pairs[row].captions if encoder.tokens(text)]
    if not captioned:
        raise CaptionsError(f"None of the captions of {captions} has a word.")
    kept = sorted({row for row, _ in captioned})
    images = np.stack([vectors[pairs[row].image] for row in kept])
    owners = np.array([row for row, _ in captioned])
    texts = _rounded(encoder.embed_texts([text for _, text in captioned]))
    return Evaluation(
        text_to_image=measure(texts, images, Relevant(owners, np.array(kept))),
        image_to_text=measure(images, texts, Relevant(np.array(kept), owners)),
        space=encoder.name,
        pairs=len(texts),
        pictures=len(images),
        failures=tuple(failures),
    )


def read_pairs(path: Path) -> list[Pair]:
    """Read a captions file; lines of one picture are one pair. Raises CaptionsError naming the line."""
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CaptionsError(f"{path} cannot be read: {error}.") from error
    captions: dict[Path, tuple[str, ...]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            pair = _pair(path, number, line)
            captions[pair.image] = captions.get(pair.image, ()) + pair.captions
    if not captions:
        raise CaptionsError(f"{path} is empty.")
    return [Pair(image, texts) for image, texts in captions.items()]


def _pair(path: Path, number: int, line: str) -> Pair:
    try:
        row = json.loads(line.encode("utf-8", "replace"))
        captions = tuple(text.encode("utf-8", "replace").decode() for text in row["captions"])
        pair = Pair(path.parent / row["image"], captions)
        os.fsencode(pair.image)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CaptionsError(
            f'{path}, line {number}: expected {{"image": "photo.jpg", "captions": ["...", ...]}}.'
        ) from error
    if isinstance(row["captions"], str) or not captions:
        raise CaptionsError(f"{path}, line {number}: captions must be a list of at least one text.")
    return pair


def _embed_pictures(
    embedder: Embedder, paths: Sequence[Path], progress: Callable[[int, int], None]
) -> tuple[dict[Path, Vectors], list[Failure]]:
    """Return path -> vector as a library would hold it, and the pictures that cannot be read."""

    def work(path: Path) -> Read:
        found = Found(os.fsencode(path), 0, 0, "picture")
        done = read(b"", found, embedder, lambda digest, reader: False)
        return done or Read(found, error="not there")

    vectors: dict[Path, Vectors] = {}
    failures = []
    done = 0
    for batch in batches(ahead(work, dict.fromkeys(paths), threads=cores(), depth=16 * cores())):
        for portion in embed(embedder, batch):
            path = Path(os.fsdecode(portion.read.found.path))
            if portion.read.error is not None:
                failures.append(Failure(path, portion.read.error))
            elif portion.first == 0:
                vectors[path] = _rounded(portion.vectors[0])
            done += portion.last
        progress(done, len(paths))
    return vectors, failures


def _rounded(vectors: Vectors) -> Vectors:
    """Return the vectors as they come back from a library, where they are float16."""
    return vectors.astype(np.float16).astype(np.float32)
