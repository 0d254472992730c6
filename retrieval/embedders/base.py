"""The protocol of embedders: images and texts in, unit vectors of one shared space out; their check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.types import Vectors

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]  # (height, width, 3), the input of a model
MAX_NORM_ERROR = 0.01  # of a unit vector; 16-bit floats of 1,024 dimensions cause less than 0.001
InputBatch = NDArray[np.uint8] | NDArray[np.int64]  # (n, ...), pixels or token ids of n items


class Embedder(Protocol):
    """Images and texts in, unit rows out; the same name and fingerprint mean comparable vectors.

    Methods can be called from any thread.
    """

    name: str
    fingerprint: str
    parts: Mapping[str, str]  # covered by the fingerprint, in words that a person can compare
    dim: int
    min_image_side: int  # pixels of each side that `prepare` needs
    max_tokens: int  # that the text tower reads
    concurrency: int  # calls at the same time that keep it busy

    def prepare(self, image: "Image") -> Pixels:
        """Convert an upright RGB image to the pixels that the model takes."""
        ...

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        """Embed n prepared images: (n, dim)."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed n texts: (n, dim); raises ValueError if a text has no tokens.

        A row is zero, similar to nothing, if the model knows none of its tokens.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Count the tokens of a text, untruncated."""
        ...

    def knows(self, text: str) -> bool:
        """Return True if the model knows any token of a text."""
        ...

    def unfamiliarity(self, text: str) -> float:
        """Return how unlike a text in the languages of the model a text is, from 0 to 1."""
        ...


def vector_defect(vector: Vectors, dim: int) -> str | None:
    """Return the reason why a vector cannot be used, or None for a unit vector of `dim` numbers."""
    if vector.shape != (dim,):
        return f"the vector has {vector.size} numbers, not {dim}"
    if not np.isfinite(vector).all():
        return "the vector has NaN or infinite numbers"
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if norm == 0.0:
        return "the vector is zero"
    if abs(norm - 1.0) > MAX_NORM_ERROR:
        return f"the vector has length {norm:.3g}, not 1"
    return None


def is_unknown_text(embedder: Embedder, text: str | None, vector: Vectors) -> bool:
    """Return True for the zero vector of a text of which the model knows no token."""
    return text is not None and not vector.any() and not embedder.knows(text)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model in the list of `clew models`; None is unknown without a download.

    Recall is in percent, measured on the 1,000 test photos of Flickr8k.
    """

    name: str
    dim: int
    side: int  # of its images, in pixels
    megabytes: float | None  # of its weights, open_clip's in float32
    licence: str | None
    languages: str
    state: Literal["in clew", "prepared", "downloaded", "on the hub"]
    recall: float | None = None  # published: text to image, recall@1 on MS COCO, in percent
    recall_source: str | None = None  # address of the table
    # Published: text to image, mean of recall@1, 5 and 10 on Crossmodal-3600, in percent. These are the mean
    # and the minimum over the 15 languages of the built-in model.
    recall_15: float | None = None
    recall_15_lowest: float | None = None
    recall_15_source: str | None = None
    images_per_second: float | None = None  # measured on this machine when the model was prepared
    text_to_image: dict[str, float] | None = None
    image_to_text: dict[str, float] | None = None
    limits: str | None = None
