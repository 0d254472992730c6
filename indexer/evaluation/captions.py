"""Measure a model on captions: how well they find their pictures, and pictures their captions."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer.embed.files import embed_files, round_to_float16
from indexer.evaluation.jsonl import parse_paths, parse_texts, read_objects
from indexer.evaluation.measurement import Measurement, RelevanceByOwner, measure
from indexer.models import resolve
from indexer.types import FileEntry, Notify, ignore_message
from retrieval.embedders.base import Embedder
from retrieval.errors import EvaluationError
from retrieval.formatting import pluralize
from retrieval.types import Failure

EXPECTED_FORMAT = '{"image": "photo.jpg", "captions": ["...", ...]}'


@dataclass(frozen=True, slots=True)
class CaptionEvaluation:
    """How well captions find their pictures and pictures their captions.

    `measured` has what each caption and each picture found, by the same two names.
    """

    text_to_image: dict[str, float]
    image_to_text: dict[str, float]
    space: str
    pairs: int
    pictures: int
    failures: tuple[Failure, ...] = ()
    measured: Mapping[str, Measurement] = field(default_factory=dict)

    def headline(self) -> str:
        """Say in a line what was measured."""
        return f"{pluralize(self.pictures, 'picture')}, {pluralize(self.pairs, 'caption')}, {self.space}"

    def details(self) -> list[str]:
        """Return nothing more."""
        return []

    def json_fields(self) -> dict[str, object]:
        """Return the keys of its JSON."""
        keys = ("text_to_image", "image_to_text", "space", "pairs", "pictures")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True, slots=True)
class CaptionedImage:
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
    notify: Notify = ignore_message,
) -> CaptionEvaluation:
    """Measure recall, MRR, nDCG@10, mAP and precision both ways on a captions file.

    The file is JSON lines of {"image": path relative to the file, "captions": [...]}. A picture that
    cannot be read is left out and said. Raises EvaluationError.
    """
    encoder = embedder or resolve.resolve_embedder(model, arch=arch, device=device, notify=notify)
    pairs = read_captioned_images(Path(captions).expanduser())
    files = [FileEntry(os.fsencode(pair.image), 0, 0, "picture") for pair in pairs]
    embedded, failures = embed_files(encoder, files, progress)
    vectors = [embedded[file.path].image if file.path in embedded else None for file in files]
    if all(vector is None for vector in vectors):
        raise EvaluationError(f"None of the pictures of {captions} can be read: {failures[0].reason}.")
    every = [(row, text) for row, pair in enumerate(pairs) for text in pair.captions]
    asked = [
        n for n, (row, text) in enumerate(every) if vectors[row] is not None and encoder.count_tokens(text)
    ]
    if not asked:
        raise EvaluationError(f"None of the captions of {captions} has a word.")
    owners = np.array([every[n][0] for n in asked])
    kept = np.unique(owners)
    images = np.stack([vector for row in kept if (vector := vectors[row]) is not None])
    words = round_to_float16(encoder.embed_texts([every[n][1] for n in asked]))
    forth = measure(words, images, RelevanceByOwner(owners, kept), query_ids=np.array(asked), groups=owners)
    back = measure(images, words, RelevanceByOwner(kept, owners), query_ids=kept)
    return CaptionEvaluation(
        text_to_image=forth.summary(),
        image_to_text=back.summary(),
        space=encoder.name,
        pairs=len(words),
        pictures=len(images),
        failures=tuple(failures),
        measured={"text_to_image": forth, "image_to_text": back},
    )


def read_captioned_images(path: Path) -> list[CaptionedImage]:
    """Read a captions file; lines of one picture are one pair. Raises EvaluationError naming the line."""
    captions: dict[Path, tuple[str, ...]] = {}
    for number, row in read_objects(path, EXPECTED_FORMAT):
        complaint = f"{path}, line {number}: expected {EXPECTED_FORMAT}."
        place = path.parent / parse_paths([row.get("image")], complaint)[0]
        captions[place] = captions.get(place, ()) + parse_texts(row.get("captions"), complaint)
    return [CaptionedImage(image, told) for image, told in captions.items()]
