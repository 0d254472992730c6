"""Keep the vectors of texts that are part of clew with the model.

They are the same for every library.
"""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from retrieval.embedders.base import Embedder
from retrieval.embedders.builtin import BuiltinEmbedder
from retrieval.embedders.model_cache import model_folder
from retrieval.embedders.open_clip import OpenClipEmbedder
from retrieval.types import Vectors


def embed_constant_texts(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Embed texts that do not depend on the library, (n, d), or read their vectors from an earlier run."""
    if not isinstance(embedder, OpenClipEmbedder | BuiltinEmbedder):  # others may reuse a fingerprint
        return embedder.embed_texts(texts)
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    file = model_folder(embedder.fingerprint) / f"texts-{digest[:24]}.npy"
    vectors = _read(file)
    if vectors is None or vectors.shape != (len(texts), embedder.dim):
        vectors = embedder.embed_texts(texts)
        with suppress(OSError):  # the cache is full or cannot be written
            _write(file, vectors)
    return vectors


def _read(file: Path) -> Vectors | None:
    """Return the unit vectors in a file, or None if they are missing or damaged."""
    try:
        vectors = np.load(file, allow_pickle=False)
    except Exception:  # NumPy parses the header as Python, and raises errors of its tokenizer too
        return None
    is_valid = vectors.dtype == np.float32 and vectors.ndim == 2
    return vectors if is_valid and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3) else None


def _write(file: Path, vectors: Vectors) -> None:
    """Write vectors so that a reader finds all or none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            np.save(stream, np.asarray(vectors, np.float32))
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
