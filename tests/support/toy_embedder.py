"""Toy embedders with exact expected vectors: images and color words map to their RGB color."""

from functools import cache
from typing import ClassVar

import numpy as np
from PIL.Image import Image

from indexer.maintenance.noise_queries import noise_queries
from retrieval.embedders.base import Pixels
from retrieval.scoring.calibration import load_background_queries
from retrieval.types import Vectors

COLORS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
    "white": (255, 255, 255),
}


@cache
def color_of(text: str) -> Vectors:
    """Return the sum of the colors of the words."""
    return np.sum([COLORS.get(word, (85, 85, 85)) for word in text.split()], axis=0)


class ToyEmbedder:
    """An embedder with three dimensions: red, green and blue. Words that are not colors are gray."""

    name = "toy"
    fingerprint = "toy-1"
    parts: ClassVar = {"colours": "seven"}
    dim = 3
    min_image_side = 4
    max_tokens = 8
    concurrency = 1

    def prepare(self, image: Image) -> Pixels:
        return np.asarray(image.resize((4, 4)), dtype=np.uint8)

    def embed_images(self, images) -> Vectors:
        return unit_rows([pixels.reshape(-1, 3).mean(axis=0) for pixels in images])

    def embed_texts(self, texts) -> Vectors:
        if not all(text.split() for text in texts):
            raise ValueError("no word")
        return unit_rows([color_of(text) for text in texts])

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def unfamiliarity(self, text: str) -> float:
        return 0.0 if self.knows(text) else 1.0

    def knows(self, text: str) -> bool:
        return self.count_tokens(text) > 0


class CountingToyEmbedder(ToyEmbedder):
    """A toy embedder that counts the images that it embeds."""

    def __init__(self) -> None:
        self.image_count = 0

    def embed_images(self, images) -> Vectors:
        self.image_count += len(images)
        return super().embed_images(images)


class ListsTexts:
    """A mixin for embedders that lists the texts that were embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[str] = []

    def embed_texts(self, texts) -> Vectors:
        self.embedded += texts
        return super().embed_texts(texts)


def unit_rows(rows) -> Vectors:
    matrix = np.array(rows, dtype=np.float32).reshape(-1, 3) + 1e-3
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


# Embedded for every new space.
BACKGROUND_QUERIES = frozenset((*load_background_queries(), *noise_queries()))


class RotatedToyEmbedder(ToyEmbedder):
    """A toy embedder with rotated dimensions (red is green, green is blue) and a lower token limit."""

    name = "other"
    fingerprint = "other-1"
    max_tokens = 4

    def __init__(self):
        self.embedded_count = 0

    def embed_images(self, images):
        self.embedded_count += len(images)
        return np.roll(super().embed_images(images), 1, axis=1)

    def embed_texts(self, texts):
        self.embedded_count += len([text for text in texts if text not in BACKGROUND_QUERIES])
        assert all(len(text.split()) <= self.max_tokens for text in texts)
        return np.roll(super().embed_texts(texts), 1, axis=1)


class ReversedToyEmbedder(ToyEmbedder):
    """A toy embedder whose texts have red and blue exchanged."""

    name = "blue"
    fingerprint = "blue-1"

    def embed_texts(self, texts):
        return super().embed_texts(texts)[:, ::-1]


def cosine_similarity(embedder, first: str, second: str) -> float:
    vectors = embedder.embed_texts([first, second])
    return float(vectors[0] @ vectors[1])
