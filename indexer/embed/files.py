"""Embed files as a library would, without one: the pipeline's own decoding, embedding and rounding."""

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
    """The vector of a file's picture, (d,), and those of its texts."""

    image: Vectors | None = None
    texts: list[Vectors] = field(default_factory=list)


def embed_files(
    embedder: Embedder, files: Sequence[FileEntry], progress: Callable[[int, int], None]
) -> tuple[dict[bytes, FileVectors], list[Failure]]:
    """Return path -> vectors, and the files that cannot be read; paths are whole."""

    context = DecodeContext(embedder, thumbnails=False)

    def work(turn: tuple[FileEntry, Opener | None]) -> ReadResult:
        found, opener = turn
        done = read_file(b"", found, context, lambda digest, reader: False, opener)
        return done or ReadResult(found, error="not there")

    every: dict[bytes, FileVectors] = {}
    failures = []
    done = 0
    turns = in_archive_order(files, lambda found: found.path, len(files))
    for batch in iter_batches(prefetch(work, turns, threads=cores(), depth=16 * cores())):
        for portion in embed_batch(embedder, batch):
            path = portion.read_result.entry.path
            done += portion.is_last
            if portion.read_result.error is not None:
                failures.append(Failure(Path(os.fsdecode(path)), portion.read_result.error))
                continue
            made = every.setdefault(path, FileVectors())
            for draft, vector in zip(portion.drafts, round_to_float16(portion.vectors), strict=True):
                if draft.text is not None:
                    made.texts.append(vector)
                elif made.image is None:  # the whole comes before its parts, the first page before others
                    made.image = vector
        progress(done, len(files))
    return every, failures


def round_to_float16(vectors: Vectors) -> Vectors:
    """Return the vectors as they come back from a library, where they are float16."""
    return vectors.astype(np.float16).astype(np.float32)
