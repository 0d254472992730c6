"""Embed texts longer than the encoder's context (mean of passages)."""

import numpy as np

from indexer.decode.base import SegmentDraft
from indexer.decode.text.chunking import Chunker
from indexer.embed.batches import embed_drafts
from retrieval.embedders.base import Embedder
from retrieval.types import Vectors

PLACEHOLDER_TEXT = "text"  # for a text of which this model reads no word, as &nbsp;


def embed_long_texts(embedder: Embedder, drafts: list[SegmentDraft]) -> Vectors:
    """Embed drafts; a text longer than this model reads is the mean of its parts."""
    chunker = Chunker(embedder)
    parts: list[SegmentDraft] = []
    owners: list[int] = []
    for row, draft in enumerate(drafts):
        pieces = [draft]
        if draft.text is not None and not chunker.fits(draft.text):
            pieces = chunker.drafts(draft.text) or [draft]
        parts += pieces
        owners += [row] * len(pieces)
    vectors = embed_drafts(embedder, parts)
    if len(parts) == len(drafts):
        return vectors
    sums = np.zeros((len(drafts), embedder.dim), np.float32)
    np.add.at(sums, owners, vectors)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)
