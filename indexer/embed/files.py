"""Embed files as a library would, without one: the pipeline's own decoding, embedding and rounding."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from indexer.decode.images.thumbnail import thumbnails_wanted
from indexer.decode.reader import Read, read
from indexer.embed.archive_order import in_turn
from indexer.embed.batches import batches, embed
from indexer.prefetch import ahead
from indexer.types import Found
from retrieval.embedders.base import Embedder
from retrieval.media.archives.archive import Opener
from retrieval.system import cores
from retrieval.types import Failure, Vectors


@dataclass(slots=True)
class Embedded:
    """The vector of a file's picture, (d,), and those of its texts."""

    picture: Vectors | None = None
    texts: list[Vectors] = field(default_factory=list)


def embed_files(
    embedder: Embedder, files: Sequence[Found], progress: Callable[[int, int], None]
) -> tuple[dict[bytes, Embedded], list[Failure]]:
    """Return path -> vectors, and the files that cannot be read; paths are whole."""

    def work(turn: tuple[Found, Opener | None]) -> Read:
        found, opener = turn
        with thumbnails_wanted(False):
            done = read(b"", found, embedder, lambda digest, reader: False, opener)
        return done or Read(found, error="not there")

    every: dict[bytes, Embedded] = {}
    failures = []
    done = 0
    turns = in_turn(files, lambda found: found.path, len(files))
    for batch in batches(ahead(work, turns, threads=cores(), depth=16 * cores())):
        for portion in embed(embedder, batch):
            path = portion.read.found.path
            done += portion.last
            if portion.read.error is not None:
                failures.append(Failure(Path(os.fsdecode(path)), portion.read.error))
                continue
            made = every.setdefault(path, Embedded())
            for draft, vector in zip(portion.drafts, rounded(portion.vectors), strict=True):
                if draft.text is not None:
                    made.texts.append(vector)
                elif made.picture is None:  # the whole comes before its parts, the first page before others
                    made.picture = vector
        progress(done, len(files))
    return every, failures


def rounded(vectors: Vectors) -> Vectors:
    """Return the vectors as they come back from a library, where they are float16."""
    return vectors.astype(np.float16).astype(np.float32)
