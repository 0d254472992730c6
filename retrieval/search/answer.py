"""Answer the requests of a query: rank, merge its alternatives, postprocess and explain the hits."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace

from retrieval.catalog.reader import Catalog
from retrieval.errors import QueryError
from retrieval.query.encoder import EncodedTerm
from retrieval.query.options import SearchOptions
from retrieval.search.browse import FileRanking
from retrieval.search.hybrid_search import HitRanking, hybrid_search
from retrieval.search.kind_hits import result_key
from retrieval.search.request import SearchRequest
from retrieval.search.results import merge_by_confidence, note_on, postprocess, sort_hits
from retrieval.types import Filters, Hit, Hits, Label, SortOrder, TermScore, Vectors


def answer(requests: Sequence[SearchRequest], count: int, options: SearchOptions) -> Hits:
    """Return the best `count` hits of a query with a request for each alternative. Raises QueryError."""
    if options.by == "keyword" and not all(request.query.has_keywords for request in requests):
        raise QueryError("Only words have keywords. Give words, or search without --keyword-only.")
    are_listings = {not request.query.terms for request in requests}
    if len(are_listings) > 1:
        raise QueryError(
            'An alternative of this query has filters only. Give words on both sides of "|", or on neither.'
        )
    ranking: HitRanking
    if are_listings == {True}:
        files = [FileRanking(request, options.sort) for request in requests]
        ranking = files[0] if len(files) == 1 else FileAlternatives(files, options.sort)
    else:
        rankings = [hybrid_search(request, options.by) for request in requests]
        ranking = rankings[0] if len(rankings) == 1 else Alternatives(rankings)
    common = replace(requests[0], filters=_common_filters([request.filters for request in requests]))
    hits = postprocess(ranking, count, options, common)
    notes = dict.fromkeys(note for request in requests if (note := note_on(hits, request)))
    return Hits(explain(requests, hits) if options.why else hits, "\n".join(notes) or None)


class Alternatives:
    """A ranking of the hits of any of several rankings, by the larger confidence, else by cosine."""

    def __init__(self, rankings: Sequence[HitRanking]) -> None:
        self._rankings = rankings

    def top(self, count: int) -> list[Hit]:
        """Return the best `count` hits, fewer only if no more exist; each ranking keeps its order."""
        return merge_by_confidence([ranking.top(count) for ranking in self._rankings], result_key)[:count]


class FileAlternatives:
    """A ranking of the files of any of several listings."""

    def __init__(self, rankings: Sequence[FileRanking], order: SortOrder) -> None:
        self._rankings, self._order = rankings, order

    def top(self, count: int) -> list[Hit]:
        """Return the first `count` files, fewer only if no more exist."""
        hits = {hit.path: hit for ranking in self._rankings for hit in ranking.top(count)}
        return sort_hits(list(hits.values()), "date-desc" if self._order == "score" else self._order)[:count]


def _common_filters(filters: Sequence[Filters]) -> Filters:
    """Return the filters that all alternatives have."""
    first = filters[0]
    names = [field.name for field in fields(Filters)]
    equal = [name for name in names if len({getattr(each, name) for each in filters}) == 1]
    return Filters(**{name: getattr(first, name) for name in equal})


def explain(requests: Sequence[SearchRequest], hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits with the score of each term of the query, and with the labels that the model gave."""
    request = requests[0]
    ids, vectors = request.catalog.vectors_of(request.space_index.space, [hit.id for hit in hits])
    known = dict(zip(ids.tolist(), vectors, strict=True))
    labels = _labels(request.catalog, [hit.id for hit in hits])
    terms = [term for each in requests for term in each.query.terms]
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
