"""Toy embedder whose vectors of some colors are no unit vectors, as those of a damaged model."""

import json
import sys
from pathlib import Path

import numpy as np

from retrieval.types import Vectors
from tests.support.toy_embedder import ToyEmbedder, unit_rows

FAULTS = {
    "NaN": lambda vector: vector * np.nan,
    "infinite": lambda vector: vector * np.inf,
    "zero": lambda vector: vector * 0,
    "length 2": lambda vector: vector * 2,
}


class FaultyEmbedder(ToyEmbedder):
    """A toy embedder that fails on red images and texts."""

    def __init__(self, fault: str) -> None:
        self._fault = FAULTS[fault]

    def embed_images(self, images) -> Vectors:
        return self._with_fault(super().embed_images(images))

    def embed_texts(self, texts) -> Vectors:
        return self._with_fault(super().embed_texts(texts))

    def _with_fault(self, vectors: Vectors) -> Vectors:
        is_red = vectors @ unit_rows([(255, 0, 0)])[0] > 0.99
        vectors[is_red] = self._fault(vectors[is_red])
        return vectors


def index_and_list(folder: Path, place: Path, fault: str) -> dict[str, object]:
    """Index a folder; return the failures, and whether all stored vectors are unit vectors."""
    from indexer import update_library
    from retrieval import Library
    from retrieval.catalog.reader import Catalog
    from retrieval.types import KINDS

    report = update_library([folder], library=place, embedder=FaultyEmbedder(fault))
    with Library.open(place, embedder=ToyEmbedder()) as library:
        failures = {failure.path.name: failure.reason for failure in library.failures()}
    catalog = Catalog.open(place)
    stored = [
        vectors
        for kind in KINDS
        for _, vectors in catalog.vectors_after(catalog.space(), kind, 0)
        if len(vectors)
    ]
    norms = np.linalg.norm(np.concatenate(stored), axis=1)
    catalog.close()
    return {
        "added": report.added,
        "failures": failures,
        "are_unit": bool((np.abs(norms - 1) < 0.01).all()),
        "assertions": __debug__,
    }


if __name__ == "__main__":
    print(json.dumps(index_and_list(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])))  # noqa: T201
