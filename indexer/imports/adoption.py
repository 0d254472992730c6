"""The stored vectors of the files of a run, and the segments that lack them."""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from indexer.imports.base import VectorSource
from indexer.imports.matching import MatchedFile
from indexer.store.writer import LibraryWriter
from indexer.types import FileEntry
from retrieval.catalog.schema import vectors_table
from retrieval.embedders.base import vector_defect
from retrieval.types import Space, Vectors

BATCH_SEGMENTS = 1_000  # in one transaction


class ImageSegment(NamedTuple):
    """The segment of a complete image, whose file has a stored vector."""

    segment: int
    file: MatchedFile
    has_vector: bool


class Adoption:
    """The stored vectors of matched files, as long as the files do not change."""

    def __init__(self, source: VectorSource, files: Mapping[bytes, MatchedFile], dim: int) -> None:
        self._source, self._files, self._dim = source, files, dim
        self._real_path = cache(os.path.realpath)  # of a root; rclip stores real paths

    def find(self, root_path: bytes, path: bytes, size: int, mtime: int) -> MatchedFile | None:
        """Return the matched file at a path under a root, unless it has changed since."""
        file = self._files.get(os.path.join(root_path, path))
        if file is None:
            file = self._files.get(os.path.join(self._real_path(root_path), path))
        return file if file is not None and (file.size, file.mtime) == (size, mtime) else None

    def has_vector(self, root_path: bytes, entry: FileEntry) -> bool:
        """Return True if a file has a stored vector."""
        return self.find(root_path, entry.path, entry.size, entry.mtime) is not None

    def vector(self, root_path: bytes, entry: FileEntry) -> Vectors | None:
        """Return the stored vector of a file, (d,)."""
        file = self.find(root_path, entry.path, entry.size, entry.mtime)
        return None if file is None else self._read(file)

    def _read(self, file: MatchedFile) -> Vectors | None:
        """Return the vector of a file; None if the source has changed and its vector is not valid."""
        (vector,) = self._source.vectors([file.row])
        return vector if vector_defect(vector, self._dim) is None else None

    def segments(self, writer: LibraryWriter, space: Space) -> Iterator[ImageSegment]:
        """Yield the segments in the library of the files that have a stored vector."""
        query = f"""SELECT r.path, f.path, f.size, f.mtime, s.id, v.segment IS NOT NULL
                      FROM files f JOIN roots r ON r.id = f.root
                      JOIN segments s ON s.content = f.content AND s.ordinal = 0
                           AND s.origin = 'file' AND s.kind = 'image'
                      LEFT JOIN {vectors_table(space.id)} v ON v.segment = s.id
                     WHERE f.state = 'present' ORDER BY s.id"""
        for *location, segment, has_vector in writer.connection.execute(query):
            file = self.find(*location)
            if file is not None:
                yield ImageSegment(segment, file, bool(has_vector))

    def write_missing(self, writer: LibraryWriter, space: Space) -> None:
        """Commit the stored vectors that a space lacks; after an interruption, the next call resumes."""
        vectors = dict[int, Vectors]()
        lacking = [segment for segment in self.segments(writer, space) if not segment.has_vector]
        for segment, file, _ in lacking:
            if (vector := self._read(file)) is not None:
                vectors[segment] = vector
            if len(vectors) == BATCH_SEGMENTS:
                writer.spaces.write_vectors(space, list(vectors), np.stack(list(vectors.values())))
                vectors.clear()
        if vectors:
            writer.spaces.write_vectors(space, list(vectors), np.stack(list(vectors.values())))
