"""Say of each hit what brought it: which term, which words, and how unusual that is."""

from collections.abc import Sequence
from dataclasses import replace

from retrieval.catalog.reader import Catalog
from retrieval.query.encoder import EncodedQuery, EncodedTerm
from retrieval.types import Hit, TermScore, Vectors
from retrieval.vectors.space_index import SpaceIndex


def explain(
    catalog: Catalog, space_index: SpaceIndex, encoded_query: EncodedQuery, hits: Sequence[Hit]
) -> list[Hit]:
    """Return the hits of a query with what brought each of them."""
    ids, vectors = catalog.vectors_of(space_index.space, [hit.id for hit in hits])
    found = dict(zip(ids.tolist(), vectors, strict=True))
    return [
        replace(
            hit,
            why=tuple(_term_score(part, found[hit.id]) for part in encoded_query.terms if hit.id in found),
        )
        for hit in hits
    ]


def _term_score(term: EncodedTerm, vector: Vectors) -> TermScore:
    return TermScore(term.text, term.weight, round(float(term.vector[0] @ vector), 4))
