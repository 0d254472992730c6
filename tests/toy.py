"""A toy embedder whose vectors a person can work out: colour words are the colours they name."""

from typing import ClassVar

import numpy as np
from PIL.Image import Image

from retrieval.embedders import Pixels
from retrieval.records import Vectors

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
