"""Measure a model on captions: how well they find their pictures, and pictures their captions."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer.embed.files import embed_files, rounded
from indexer.evaluation.jsonl import names, rows, texts
from indexer.evaluation.measurement import Measured, Relevant, measure
from indexer.models import resolve
from indexer.types import Found, Say
from retrieval.embedders.base import Embedder
from retrieval.errors import EvaluationError
from retrieval.formatting import some
from retrieval.types import Failure

EXPECTED = '{"image": "photo.jpg", "captions": ["...", ...]}'


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well captions find their pictures and pictures their captions.

    `measured` has what each caption and each picture found, by the same two names.
    """

    text_to_image: dict[str, float]
    image_to_text: dict[str, float]
    space: str
    pairs: int
    pictures: int
    failures: tuple[Failure, ...] = ()
    measured: Mapping[str, Measured] = field(default_factory=dict)

    def headline(self) -> str:
        """Say in a line what was measured."""
        return f"{some(self.pictures, 'picture')}, {some(self.pairs, 'caption')}, {self.space}"

    def details(self) -> list[str]:
        """Return nothing more."""
        return []

    def facts(self) -> dict[str, object]:
        """Return the keys of its JSON."""
        keys = ("text_to_image", "image_to_text", "space", "pairs", "pictures")
        return {key: getattr(self, key) for key in keys}


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
    say: Say = resolve.silent,
) -> Evaluation:
    """Measure recall, MRR, nDCG@10, mAP and precision both ways on a captions file.

    The file is JSON lines of {"image": path relative to the file, "captions": [...]}. A picture that
    cannot be read is left out and said. Raises EvaluationError.
    """
    encoder = embedder or resolve.ready(model, arch=arch, device=device, say=say)
    pairs = read_pairs(Path(captions).expanduser())
    files = [Found(os.fsencode(pair.image), 0, 0, "picture") for pair in pairs]
    embedded, failures = embed_files(encoder, files, progress)
    vectors = [embedded[file.path].picture if file.path in embedded else None for file in files]
    if all(vector is None for vector in vectors):
        raise EvaluationError(f"None of the pictures of {captions} can be read: {failures[0].reason}.")
    every = [(row, text) for row, pair in enumerate(pairs) for text in pair.captions]
    asked = [n for n, (row, text) in enumerate(every) if vectors[row] is not None and encoder.tokens(text)]
    if not asked:
        raise EvaluationError(f"None of the captions of {captions} has a word.")
    owners = np.array([every[n][0] for n in asked])
    kept = np.unique(owners)
    images = np.stack([vector for row in kept if (vector := vectors[row]) is not None])
    words = rounded(encoder.embed_texts([every[n][1] for n in asked]))
    forth = measure(words, images, Relevant(owners, kept), items=np.array(asked), groups=owners)
    back = measure(images, words, Relevant(kept, owners), items=kept)
    return Evaluation(
        text_to_image=forth.summary(),
        image_to_text=back.summary(),
        space=encoder.name,
        pairs=len(words),
        pictures=len(images),
        failures=tuple(failures),
        measured={"text_to_image": forth, "image_to_text": back},
    )


def read_pairs(path: Path) -> list[Pair]:
    """Read a captions file; lines of one picture are one pair. Raises EvaluationError naming the line."""
    captions: dict[Path, tuple[str, ...]] = {}
    for number, row in rows(path, EXPECTED):
        complaint = f"{path}, line {number}: expected {EXPECTED}."
        place = path.parent / names([row.get("image")], complaint)[0]
        captions[place] = captions.get(place, ()) + texts(row.get("captions"), complaint)
    return [Pair(image, told) for image, told in captions.items()]
