"""Embed files without a library, with the decoding, embedding and rounding of indexing."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer.decode.context import DecodeContext
from indexer.decode.reader import ReadResult, read_file
from indexer.embed.archive_order import in_archive_order
from indexer.embed.batches import embed_batch, iter_batches
from indexer.prefetch import prefetch
from indexer.types import FileEntry
from retrieval.embedders.base import Embedder
from retrieval.media.archives.archive import Opener
from retrieval.system import cores
from retrieval.types import Failure, Vectors


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

    def work(turn: tuple[FileEntry, Opener | None]) -> ReadResult:
        entry, opener = turn
        result = read_file(b"", entry, context, lambda digest, decoder: False, opener)
        return result or ReadResult(entry, error="file not found")

    vectors_by_path: dict[bytes, FileVectors] = {}
    failures = []
    done = 0
    turns = in_archive_order(files, lambda entry: entry.path, len(files))
    for batch in iter_batches(prefetch(work, turns, threads=cores(), depth=16 * cores())):
        for chunk in embed_batch(embedder, batch):
            path = chunk.read_result.entry.path
            done += chunk.is_last
            if chunk.read_result.error is not None:
                failures.append(Failure(Path(os.fsdecode(path)), chunk.read_result.error))
                continue
            file_vectors = vectors_by_path.setdefault(path, FileVectors())
            for draft, vector in zip(chunk.drafts, round_to_float16(chunk.vectors), strict=True):
                if draft.text is not None:
                    file_vectors.texts.append(vector)
                elif file_vectors.image is None:  # an image precedes its parts, and the first page others
                    file_vectors.image = vector
        progress(done, len(files))
    return vectors_by_path, failures


def round_to_float16(vectors: Vectors) -> Vectors:
    """Return vectors with the precision of a library, which stores float16."""
    return vectors.astype(np.float16).astype(np.float32)
