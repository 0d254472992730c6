"""Read the vectors of a space with their segments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retrieval.catalog.reader import Catalog
from retrieval.types import Filters, Hit, Kind, Space, Vectors

BATCH_SEGMENTS = 8_192


@dataclass(frozen=True, slots=True)
class VectorBatch:
    """Segments that have a file, and their vectors, row by row."""

    hits: Sequence[Hit]
    vectors: Vectors  # (n, d)


def vector_batches(catalog: Catalog, space: Space, kinds: Sequence[Kind]) -> Iterator[VectorBatch]:
    """Yield the segments of these kinds that have a vector, by kind and id; those of deleted files do not."""
    for kind in kinds:
        ids = catalog.vector_ids(space, kind)
        for at in range(0, len(ids), BATCH_SEGMENTS):
            found, vectors = catalog.vectors_of(space, ids[at : at + BATCH_SEGMENTS].tolist())
            hits = catalog.hits([(id_, 0.0) for id_ in found.tolist()], space.name, Filters())
            first = {hit.id: hit for hit in reversed(hits)}  # a caption has one for each of its images
            rows = [row for row, id_ in enumerate(found.tolist()) if id_ in first]
            yield VectorBatch([first[int(found[row])] for row in rows], vectors[rows])
