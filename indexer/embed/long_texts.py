"""Embed drafts whose text may be longer than the context of the text encoder."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from indexer.decode.base import SegmentDraft
from indexer.decode.text.chunking import Chunker
from indexer.embed.batches import embed_drafts
from retrieval.embedders.base import Embedder
from retrieval.embedders.pace import EmbeddingPace
from retrieval.types import Vectors

PLACEHOLDER_TEXT = "text"  # replaces a text without any token of the model, such as &nbsp;


def embed_long_texts(
    embedder: Embedder, drafts: Sequence[SegmentDraft], pace: EmbeddingPace | None = None
) -> Vectors:
    """Return the vectors of drafts, (n, d); that of a long text is the mean over its passages."""
    chunker = Chunker(embedder)
    parts: list[SegmentDraft] = []
    owners: list[int] = []
    for row, draft in enumerate(drafts):
        passages = _passages(chunker, draft)
        parts += passages
        owners += [row] * len(passages)
    vectors = embed_drafts(embedder, parts, pace)
    if len(parts) == len(drafts):
        return vectors
    sums = np.zeros((len(drafts), embedder.dim), np.float32)
    np.add.at(sums, owners, vectors)
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    norms[norms == 0] = 1  # of texts of which the model knows no token
    return np.asarray(sums / norms, np.float32)


def _passages(chunker: Chunker, draft: SegmentDraft) -> list[SegmentDraft]:
    """Return what to embed for a draft: itself, or the passages of a text that is too long."""
    if draft.text is None or draft.pixels is not None or draft.vector is not None:
        return [draft]
    if chunker.count_tokens(draft.text) == 0:
        return [replace(draft, text=PLACEHOLDER_TEXT)]
    return [draft] if chunker.fits(draft.text) else list(chunker.drafts(draft.text)) or [draft]
