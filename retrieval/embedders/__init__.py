"""Embedders: pictures and words in, unit vectors of one shared space out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EmbedderError
from retrieval.records import Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]  # (height, width, 3), what the model takes


class Embedder(Protocol):
    """Pictures and words in, unit rows out; the same name and fingerprint mean comparable vectors.

    `side` is how many pixels of each side `prepare` needs to see, `context` how many tokens the text
    tower reads. Every method may be called from any thread.
    """

    name: str
    fingerprint: str
    dim: int
    side: int
    context: int

    def prepare(self, picture: "Image") -> Pixels:
        """Turn an upright RGB picture into what the model takes."""
        ...

    def embed_images(self, pictures: Sequence[Pixels]) -> Vectors:
        """Embed n prepared pictures: (n, dim)."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed n texts: (n, dim); raises ValueError where a text has no tokens."""
        ...

    def tokens(self, text: str) -> int:
        """Count the tokens of a text, untruncated."""
        ...


@dataclass(frozen=True, slots=True)
class Card:
    """What `clew models` says of a model. Recall is in per cent, of Flickr8k's 1,000 test photos."""

    name: str
    dim: int
    megabytes: float
    licence: str
    languages: str
    text_to_image: dict[str, float]
    image_to_text: dict[str, float]
    limits: str


def load(name: str) -> Embedder:
    """Return the embedder of this name; raises EmbedderError."""
    if name == "builtin":
        from retrieval.embedders.builtin import Builtin

        return Builtin()
    raise EmbedderError(f"There is no model called {name}; `clew models` lists what there is.")


def cards() -> list[Card]:
    """Describe every model there is."""
    from retrieval.embedders import builtin

    return [builtin.card()]
