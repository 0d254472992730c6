"""Batch the segments of decoded files, and embed them."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from time import monotonic

import numpy as np

from indexer.decode.base import SegmentDraft
from indexer.decode.reader import ReadResult
from indexer.store.writer import FileChunk
from indexer.types import DEFAULT_BATCH_LIMITS, BatchLimits
from retrieval.embedders.base import Embedder
from retrieval.embedders.pace import EmbeddingPace
from retrieval.types import Vectors

MAX_BATCH = 1_000  # segments in one transaction


def iter_batches(
    results: Iterable[ReadResult | None],
    limits: BatchLimits = DEFAULT_BATCH_LIMITS,
    pace: EmbeddingPace | None = None,
) -> Generator[list[FileChunk]]:
    """Cut a stream of files into batches that end at a limit, with at most MAX_BATCH segments.

    With `pace`, a batch ends at as many segments as are embedded in `limits.seconds`, or after this time.
    While a file takes long, which is None in the stream, empty batches let the complete ones pass.
    """
    batch: list[FileChunk] = []
    held, started = 0, monotonic()
    for read in results:
        if read is None:
            if batch and monotonic() - started >= limits.seconds:
                yield batch
                batch, held, started = [], 0, monotonic()
            yield []
            continue
        size = limits.segments if pace is None else pace.batch_size(limits.seconds, limits.segments)
        drafts, first = read.decoded.drafts, 0
        while True:
            part = drafts[first : first + MAX_BATCH - held]
            last = first + len(part) == len(drafts)
            batch.append(FileChunk(read, part, first, last))
            held, first = held + len(part), first + len(part)
            is_late = pace is not None and monotonic() - started >= limits.seconds
            if held >= size or len(batch) >= limits.segments or is_late:
                yield batch
                batch, held, started = [], 0, monotonic()
            if last:
                break
    if batch:
        yield batch


def embed_batch(
    embedder: Embedder, batch: Sequence[FileChunk], pace: EmbeddingPace | None = None
) -> list[FileChunk]:
    """Return the chunks with their vectors."""
    drafts = [draft for chunk in batch for draft in chunk.drafts]
    vectors = iter(embed_drafts(embedder, drafts, pace))
    return [
        replace(chunk, vectors=np.array([next(vectors) for _ in chunk.drafts], np.float32)) for chunk in batch
    ]


def embed_drafts(
    embedder: Embedder, drafts: Sequence[SegmentDraft], pace: EmbeddingPace | None = None
) -> Vectors:
    """Return the vectors of drafts, (n, d): all images are embedded together, and all texts.

    Equal texts, such as the name of a camera, are embedded once. Zero for drafts without a vector.
    """
    pace = pace or EmbeddingPace()
    vectors = np.zeros((len(drafts), embedder.dim), np.float32)
    for row, draft in enumerate(drafts):
        if draft.vector is not None:
            vectors[row] = draft.vector
    rows = [row for row, draft in enumerate(drafts) if draft.vector is None and draft.has_vector]
    images = [row for row in rows if drafts[row].pixels is not None]
    texts = [row for row in rows if drafts[row].pixels is None]
    if images:
        pixels = [pixels for row in images if (pixels := drafts[row].pixels) is not None]
        vectors[images] = pace.embed("image", embedder.embed_images, pixels)
    if texts:
        words = [drafts[row].text or "" for row in texts]
        positions = {text: at for at, text in enumerate(dict.fromkeys(words))}
        text_vectors = pace.embed("text", embedder.embed_texts, list(positions))
        vectors[texts] = text_vectors[[positions[text] for text in words]]
    return vectors
