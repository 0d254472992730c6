"""Batch the segments of decoded files, and embed them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from indexer.decode.base import SegmentDraft
from indexer.decode.reader import ReadResult
from indexer.store.writer import FileChunk
from indexer.types import DEFAULT_BATCH_LIMITS, BatchLimits
from retrieval.embedders.base import Embedder
from retrieval.types import Vectors

MAX_BATCH = 1_000  # segments in one transaction


def iter_batches(
    results: Iterable[ReadResult], limits: BatchLimits = DEFAULT_BATCH_LIMITS
) -> Iterator[list[FileChunk]]:
    """Cut a stream of files into batches that end at a limit, with at most MAX_BATCH segments."""
    batch: list[FileChunk] = []
    held = 0
    for read in results:
        drafts, first = read.decoded.drafts, 0
        while True:
            part = drafts[first : first + MAX_BATCH - held]
            last = first + len(part) == len(drafts)
            batch.append(FileChunk(read, part, first, last))
            held, first = held + len(part), first + len(part)
            if held >= limits.segments or len(batch) >= limits.segments:
                yield batch
                batch, held = [], 0
            if last:
                break
    if batch:
        yield batch


def embed_batch(embedder: Embedder, batch: Sequence[FileChunk]) -> list[FileChunk]:
    """Return the chunks with their vectors."""
    drafts = [draft for chunk in batch for draft in chunk.drafts]
    vectors = iter(embed_drafts(embedder, drafts))
    return [
        replace(chunk, vectors=np.array([next(vectors) for _ in chunk.drafts], np.float32)) for chunk in batch
    ]


def embed_drafts(embedder: Embedder, drafts: Sequence[SegmentDraft]) -> Vectors:
    """Return the vectors of drafts, (n, d): all images are embedded at once, and all texts."""
    vectors = np.empty((len(drafts), embedder.dim), np.float32)
    for row, draft in enumerate(drafts):
        if draft.vector is not None:
            vectors[row] = draft.vector
    rows = [row for row, draft in enumerate(drafts) if draft.vector is None]
    images = [row for row in rows if drafts[row].pixels is not None]
    texts = [row for row in rows if drafts[row].pixels is None]
    if images:
        vectors[images] = embedder.embed_images(
            [pixels for row in images if (pixels := drafts[row].pixels) is not None]
        )
    if texts:
        vectors[texts] = embedder.embed_texts([drafts[row].text or "" for row in texts])
    return vectors
