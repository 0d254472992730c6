"""Explain hits by the terms of the query."""

from collections.abc import Sequence
from dataclasses import replace

from retrieval.query.encoder import EncodedTerm
from retrieval.search.request import SearchRequest
from retrieval.types import Hit, TermScore, Vectors


def explain(request: SearchRequest, hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits with the score of each term of the query."""
    ids, vectors = request.catalog.vectors_of(request.space_index.space, [hit.id for hit in hits])
    known = dict(zip(ids.tolist(), vectors, strict=True))
    return [
        replace(hit, why=tuple(_term_score(term, known[hit.id]) for term in request.query.terms))
        if hit.id in known
        else hit
        for hit in hits
    ]


def _term_score(term: EncodedTerm, vector: Vectors) -> TermScore:
    return TermScore(term.text, term.weight, round(float(term.vector[0] @ vector), 4))
