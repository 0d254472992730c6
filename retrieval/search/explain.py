"""Say of each hit what brought it: which term, which words, and how unusual that is."""

from collections.abc import Sequence
from dataclasses import replace

from retrieval.catalog.reader import Catalog
from retrieval.query.encoder import Asked, Part
from retrieval.types import Hit, Vectors, Why
from retrieval.vectors.space_index import Nearest


def explain(catalog: Catalog, nearest: Nearest, asked: Asked, hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits of a query with what brought each of them."""
    ids, vectors = catalog.vectors_of(nearest.space, [hit.id for hit in hits])
    found = dict(zip(ids.tolist(), vectors, strict=True))
    return [
        replace(hit, why=tuple(_part(part, found[hit.id]) for part in asked.parts if hit.id in found))
        for hit in hits
    ]


def _part(part: Part, vector: Vectors) -> Why:
    return Why(part.asked, part.weight, round(float(part.vector[0] @ vector), 4))
