"""Embedders: pictures and words in, unit vectors of one shared space out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.types import Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]  # (height, width, 3), what the model takes
InputBatch = NDArray[np.uint8] | NDArray[np.int64]  # (n, ...), pixels or token ids of n things


class Embedder(Protocol):
    """Pictures and words in, unit rows out; the same name and fingerprint mean comparable vectors.

    `parts` is what the fingerprint covers, in words. `side` is how many pixels of each side `prepare`
    needs to see, `context` how many tokens the text tower reads, `at_once` how many calls to embed keep it
    busy. Every method may be called from any thread.
    """

    name: str
    fingerprint: str
    parts: Mapping[str, str]
    dim: int
    min_image_side: int
    max_tokens: int
    concurrency: int

    def prepare(self, image: "Image") -> Pixels:
        """Turn an upright RGB picture into what the model takes."""
        ...

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        """Embed n prepared pictures: (n, dim)."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed n texts: (n, dim); raises ValueError where a text has no tokens."""
        ...

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, untruncated."""
        ...

    def knows(self, text: str) -> bool:
        """Say whether any token of a text is one that the model knows."""
        ...


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What `clew models` says of a model; None is what is not known without fetching it.

    `side` is that of its pictures in pixels, `megabytes` the size of its weights (of open_clip's in
    float32), `state` what of it is on this machine. Recall is in per cent, of Flickr8k's 1,000 test photos.
    """

    name: str
    dim: int
    side: int
    megabytes: float | None
    licence: str | None
    languages: str
    state: Literal["in clew", "prepared", "downloaded", "on the hub"]
    text_to_image: dict[str, float] | None = None
    image_to_text: dict[str, float] | None = None
    limits: str | None = None
