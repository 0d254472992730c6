"""Batch the segments of decoded files, and embed them."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from time import monotonic

import numpy as np

from indexer.decode.base import SegmentDraft
from indexer.decode.reader import ReadResult
from indexer.store.writer import FileChunk
from indexer.types import DEFAULT_BATCH_LIMITS, BatchLimits
from retrieval.embedders.base import Embedder, is_unknown_text, vector_defect
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
    """Return the chunks with their vectors; without segments if the model gives no unit vector for one."""
    drafts = [draft for chunk in batch for draft in chunk.drafts]
    vectors, first, embedded = embed_drafts(embedder, drafts, pace), 0, list[FileChunk]()
    for chunk in batch:
        rows = vectors[first : first + len(chunk.drafts)]
        first += len(chunk.drafts)
        defects = (_model_defect(embedder, *pair) for pair in zip(chunk.drafts, rows, strict=True))
        defect = next(filter(None, defects), None)
        embedded.append(replace(chunk, vectors=rows) if defect is None else _failed(chunk, defect))
    return embedded


def keep_failed(batch: Sequence[FileChunk], reasons: dict[bytes, str]) -> list[FileChunk]:
    """Return a batch in which the rest of a file fails too after one of its chunks has failed.

    `reasons` has the reason of each of these files, by path, until its last chunk; batches come in order.
    """
    checked = list[FileChunk]()
    for chunk in batch:
        read = chunk.read_result
        path, reason = read.entry.path, read.error
        if reason is None and path in reasons:
            chunk = _failed(chunk, reasons[path])
        elif reason is not None:
            reasons[path] = reason
        checked.append(chunk)
        if chunk.is_last:
            reasons.pop(path, None)
    return checked


def _model_defect(embedder: Embedder, draft: SegmentDraft, vector: Vectors) -> str | None:
    """Return the reason why the vector of a draft cannot be used, None if it can."""
    defect = vector_defect(vector, embedder.dim) if draft.has_vector else None
    if defect is None or is_unknown_text(embedder, draft.text, vector):
        return None
    return f"the model {embedder.name} fails on it: {defect}"


def _failed(chunk: FileChunk, reason: str) -> FileChunk:
    """Return a chunk without segments of a file that failed."""
    return replace(chunk, read_result=ReadResult(chunk.read_result.entry, error=reason), drafts=())


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
