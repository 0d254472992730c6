"""Evaluate a model on captions: how well captions find their images, and images their captions."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer.embed.files import embed_files, round_to_float16
from indexer.evaluation.jsonl import parse_paths, parse_texts, read_objects
from indexer.evaluation.measurement import Measurement, RelevanceByOwner, measure
from indexer.models import resolve
from indexer.models.options import DEFAULT_MODEL_OPTIONS, ModelOptions
from indexer.types import FileEntry, Notify, ignore_message
from retrieval.embedders.base import Embedder
from retrieval.errors import EvaluationError
from retrieval.formatting import pluralize
from retrieval.system import expand_user
from retrieval.types import Failure

EXPECTED_FORMAT = '{"image": "photo.jpg", "captions": ["...", ...]}'


@dataclass(frozen=True, slots=True)
class CaptionEvaluation:
    """Metrics of captions that search for their images, and of images that search for their captions."""

    text_to_image: dict[str, float]
    image_to_text: dict[str, float]
    space: str
    pairs: int
    pictures: int
    failures: tuple[Failure, ...] = ()
    measured: Mapping[str, Measurement] = field(default_factory=dict)  # per query, by direction

    def headline(self) -> str:
        """Return a line about the data and the space."""
        return f"{pluralize(self.pictures, 'picture')}, {pluralize(self.pairs, 'caption')}, {self.space}"

    def details(self) -> list[str]:
        """Return no further lines."""
        return []

    def json_fields(self) -> dict[str, object]:
        """Return the fields of the JSON output."""
        keys = ("text_to_image", "image_to_text", "space", "pairs", "pictures")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """An image and its captions."""

    image: Path
    captions: tuple[str, ...]


def evaluate(
    captions: str | Path,
    *,
    model: str = "builtin",
    options: ModelOptions = DEFAULT_MODEL_OPTIONS,
    embedder: Embedder | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    notify: Notify = ignore_message,
) -> CaptionEvaluation:
    """Measure recall, MRR, nDCG@10, mAP and precision in both directions on a captions file.

    The file is JSON lines of {"image": path relative to the file, "captions": [...]}. Images that cannot be
    read are skipped and reported as failures. Raises EvaluationError.
    """
    encoder = embedder or resolve.resolve_embedder(
        model, arch=options.arch, device=options.device, notify=notify
    )
    pairs = read_captioned_images(expand_user(captions))
    files = [FileEntry(os.fsencode(pair.image), 0, 0, "picture") for pair in pairs]
    embedded, failures = embed_files(encoder, files, progress)
    vectors = [embedded[file.path].image if file.path in embedded else None for file in files]
    if all(vector is None for vector in vectors):
        raise EvaluationError(f"No image of {captions} can be read: {failures[0].reason}.")
    texts = [(row, text) for row, pair in enumerate(pairs) for text in pair.captions]
    usable = [
        n for n, (row, text) in enumerate(texts) if vectors[row] is not None and encoder.count_tokens(text)
    ]
    if not usable:
        raise EvaluationError(f"No caption of {captions} contains a word.")
    owners = np.array([texts[n][0] for n in usable])  # image of each caption
    rows = np.unique(owners)
    images = np.stack([vector for row in rows if (vector := vectors[row]) is not None])
    queries = round_to_float16(encoder.embed_texts([texts[n][1] for n in usable]))
    text_to_image = measure(
        queries, images, RelevanceByOwner(owners, rows), query_ids=np.array(usable), groups=owners
    )
    image_to_text = measure(images, queries, RelevanceByOwner(rows, owners), query_ids=rows)
    return CaptionEvaluation(
        text_to_image=text_to_image.summary(),
        image_to_text=image_to_text.summary(),
        space=encoder.name,
        pairs=len(queries),
        pictures=len(images),
        failures=tuple(failures),
        measured={"text_to_image": text_to_image, "image_to_text": image_to_text},
    )


def read_captioned_images(path: Path) -> list[CaptionedImage]:
    """Read a captions file, and merge the lines of an image; raises EvaluationError naming the line."""
    captions: dict[Path, tuple[str, ...]] = {}
    for number, row in read_objects(path, EXPECTED_FORMAT):
        message = f"{path}, line {number}: expected {EXPECTED_FORMAT}."
        image = path.parent / parse_paths([row.get("image")], message)[0]
        captions[image] = captions.get(image, ()) + parse_texts(row.get("captions"), message)
    return [CaptionedImage(image, texts) for image, texts in captions.items()]
