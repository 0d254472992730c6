"""A toy embedder whose vectors a person can work out: colour words are the colours they name."""

from typing import ClassVar

import numpy as np
from PIL.Image import Image

from retrieval.embedders.base import Pixels
from retrieval.scoring.calibration import bank
from retrieval.types import Vectors

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
    "white": (255, 255, 255),
}


class Toy:
    """An embedder of three dimensions: red, green and blue. Words that name no colour are grey."""

    name = "toy"
    fingerprint = "toy-1"
    parts: ClassVar = {"colours": "seven"}
    dim = 3
    side = 4
    context = 8
    at_once = 1

    def prepare(self, picture: Image) -> Pixels:
        return np.asarray(picture.resize((4, 4)), dtype=np.uint8)

    def embed_images(self, pictures) -> Vectors:
        return unit([pixels.reshape(-1, 3).mean(axis=0) for pixels in pictures])

    def embed_texts(self, texts) -> Vectors:
        if not all(text.split() for text in texts):
            raise ValueError("no word")
        return unit([np.sum([COLOURS.get(w, (85, 85, 85)) for w in t.split()], axis=0) for t in texts])

    def tokens(self, text: str) -> int:
        return len(text.split())

    def reads(self, text: str) -> bool:
        return self.tokens(text) > 0


def unit(rows) -> Vectors:
    matrix = np.array(rows, dtype=np.float32).reshape(-1, 3) + 1e-3
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


BANK = frozenset(bank())  # asked of every new space


class Other(Toy):
    """Another toy of three dimensions, in which red is green and green is blue; it reads fewer words."""

    name = "other"
    fingerprint = "other-1"
    context = 4

    def __init__(self):
        self.done = 0

    def embed_images(self, pictures):
        self.done += len(pictures)
        return np.roll(super().embed_images(pictures), 1, axis=1)

    def embed_texts(self, texts):
        self.done += len([text for text in texts if text not in BANK])
        assert all(len(text.split()) <= self.context for text in texts)
        return np.roll(super().embed_texts(texts), 1, axis=1)


class Blue(Toy):
    """Another model, whose red is blue."""

    name = "blue"
    fingerprint = "blue-1"

    def embed_texts(self, texts):
        return super().embed_texts(texts)[:, ::-1]


def cosine(embedder, one: str, other: str) -> float:
    vectors = embedder.embed_texts([one, other])
    return float(vectors[0] @ vectors[1])
