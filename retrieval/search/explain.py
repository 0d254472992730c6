"""Explain hits by the terms of the query, and tell their labels, which only filter."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from retrieval.catalog.reader import Catalog
from retrieval.query.encoder import EncodedTerm
from retrieval.search.request import SearchRequest
from retrieval.types import Hit, Label, TermScore, Vectors


def explain(request: SearchRequest, hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits with the score of each term of the query, and with the labels that the model gave."""
    ids, vectors = request.catalog.vectors_of(request.space_index.space, [hit.id for hit in hits])
    known = dict(zip(ids.tolist(), vectors, strict=True))
    labels = _labels(request.catalog, [hit.id for hit in hits])
    terms = request.query.terms
    return [
        replace(
            hit,
            why=tuple(_term_score(term, known[hit.id]) for term in terms if hit.id in known),
            labels=tuple(labels[hit.id]),
        )
        for hit in hits
    ]


def _labels(catalog: Catalog, ids: Sequence[int]) -> defaultdict[int, list[Label]]:
    """Return the labels of each segment, the most confident first."""
    rows = catalog.db.execute(
        """SELECT segment, name, confidence FROM tags WHERE segment IN (SELECT value FROM json_each(?))
            ORDER BY confidence DESC, name""",
        (json.dumps(ids),),
    )
    labels = defaultdict[int, list[Label]](list)
    for segment, name, confidence in rows:
        labels[segment].append(Label(name, confidence))
    return labels


def _term_score(term: EncodedTerm, vector: Vectors) -> TermScore:
    return TermScore(term.text, term.weight, round(float(term.vector[0] @ vector), 4))
