"""Compare stored vectors with those of a model."""

from collections.abc import Sequence
from statistics import median

import numpy as np

from indexer.decode.context import DecodeContext
from indexer.decode.reader import read_file
from indexer.imports.base import VectorSource
from indexer.imports.matching import MatchedFile
from indexer.types import FileEntry
from retrieval.embedders.base import Embedder, Pixels
from retrieval.errors import EmbedderError
from retrieval.types import Vectors

CHECKED_FILES = 8
MAX_READ_FILES = 32  # of which some cannot be decoded
# The least median of these files, and the least of each vector that `clew verify --deep` makes again. Other
# scaling of the pixels and 8-bit weights of the same model cost less than 0.02 together; the vectors of
# another model are unrelated.
MIN_COSINE = 0.97


def check_model(source: VectorSource, files: Sequence[MatchedFile], embedder: Embedder) -> None:
    """Raise EmbedderError if the model does not give the stored vectors of a few files.

    rclip and clip-retrieval ignore the orientation that a camera stores, so that a vector may be that of the
    rotated image.
    """
    cosines: list[float] = []
    step = max(1, len(files) // MAX_READ_FILES)
    context = DecodeContext(embedder, thumbnails=False)
    for file in files[::step][:MAX_READ_FILES]:
        pixels = _read_pixels(file, context)
        if pixels is None:
            continue
        (vector,) = source.vectors([file.row])
        cosines.append(best_cosine(embedder.embed_images(rotations(pixels)), vector))
        if len(cosines) == CHECKED_FILES:
            break
    if cosines and median(cosines) < MIN_COSINE:
        raise EmbedderError(
            f"These vectors are not of the model {embedder.name}: the cosine between the stored and the new "
            f"vector of an image is {median(cosines):.3f}, the median of {len(cosines)}. Name the model that "
            "made them with --model, or use `clew index` to embed the files."
        )


def _read_pixels(file: MatchedFile, context: DecodeContext) -> Pixels | None:
    """Return the pixels of an image as the model takes them; None if it cannot be decoded."""
    entry = FileEntry(file.path, file.size, file.mtime, "picture")
    result = read_file(b"", entry, context, lambda digest, decoder: False)
    if result is None or result.error is not None or not result.decoded.drafts:
        return None
    return result.decoded.drafts[0].pixels


def rotations(pixels: Pixels) -> list[Pixels]:
    """Return an image in the orientations of the same shape."""
    turns = range(4) if pixels.shape[0] == pixels.shape[1] else (0, 2)
    return [np.ascontiguousarray(np.rot90(pixels, turn)) for turn in turns]


def best_cosine(vectors: Vectors, stored: Vectors) -> float:
    """Return the largest cosine between unit vectors, (n, d), and a stored one, (d,).

    A zero vector, of a text of which the model knows no token, equals only another one. Returns 0 for NaN.
    """
    length = np.linalg.norm(stored)
    if length == 0:
        return float(not vectors.any(axis=1).all())
    cosine = float((vectors @ stored).max() / length)
    return cosine if np.isfinite(cosine) else 0.0
