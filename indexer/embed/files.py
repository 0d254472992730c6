"""Embed files without a library, with the decoding, embedding and rounding of indexing."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer.decode.context import DecodeContext
from indexer.decode.reader import ReadResult, read_file
from indexer.embed.archive_order import in_archive_order
from indexer.embed.batches import embed_batch, iter_batches, keep_failed
from indexer.prefetch import Prefetch, PrefetchLimits
from indexer.store.writer import FileChunk
from indexer.types import FileEntry
from retrieval.embedders.base import Embedder
from retrieval.embedders.pace import EmbeddingPace
from retrieval.media.archives.archive import Opener
from retrieval.system import cores
from retrieval.types import Failure, Vectors

PREFETCH_PER_THREAD = 16  # files decoded ahead, per thread


@dataclass(slots=True)
class FileVectors:
    """The vectors of a file."""

    image: Vectors | None = None  # (d,)
    texts: list[Vectors] = field(default_factory=list)  # (d,) each


def embed_files(
    embedder: Embedder, files: Sequence[FileEntry], progress: Callable[[int, int], None]
) -> tuple[dict[bytes, FileVectors], list[Failure]]:
    """Return absolute path -> vectors, and the files that cannot be read."""
    context = DecodeContext(embedder, thumbnails=False)
    vectors_by_path: dict[bytes, FileVectors] = {}
    failures = []
    done = 0
    turns = in_archive_order(files, lambda entry: entry.path, len(files))
    for chunk in embed_chunks(b"", turns, context):
        path = chunk.read_result.entry.path
        done += chunk.is_last
        progress(done, len(files))
        if chunk.read_result.error is not None:
            failures.append(Failure(Path(os.fsdecode(path)), chunk.read_result.error))
            continue
        file_vectors = vectors_by_path.setdefault(path, FileVectors())
        for draft, vector in zip(chunk.drafts, round_to_float16(chunk.vectors), strict=True):
            if draft.text is not None:
                file_vectors.texts.append(vector)
            elif file_vectors.image is None:  # an image precedes its parts, and the first page others
                file_vectors.image = vector
    return vectors_by_path, failures


def embed_chunks(
    root: bytes,
    turns: Iterable[tuple[FileEntry, Opener | None]],
    context: DecodeContext,
    threads: int | None = None,
) -> Iterator[FileChunk]:
    """Yield the embedded chunks of files in order; a file that does not exist fails.

    `threads`, by default one for each core, decode ahead. With `call_inputs` in the context, equal files have
    equal vectors, bit by bit.
    """

    def work(turn: tuple[FileEntry, Opener | None]) -> ReadResult:
        entry, opener = turn
        result = read_file(root, entry, context, lambda digest, decoder: False, opener)
        return result or ReadResult(entry, error="file not found")

    threads = threads or cores()
    ahead: PrefetchLimits[ReadResult] = PrefetchLimits(
        threads=threads,
        depth=PREFETCH_PER_THREAD * threads,
        weight=lambda read: sum(draft.memory_bytes for draft in read.decoded.drafts),
        max_weight=context.limits.max_prefetch_bytes,
    )
    pace = EmbeddingPace(context.stop, context.call_inputs)
    reasons = dict[bytes, str]()
    with closing(Prefetch(work, ahead, stop=context.stop).run(turns)) as reads:
        for batch in iter_batches(reads):
            yield from keep_failed(embed_batch(context.embedder, batch, pace), reasons)


def round_to_float16(vectors: Vectors) -> Vectors:
    """Return vectors with the precision of a library, which stores float16."""
    return vectors.astype(np.float16).astype(np.float32)
