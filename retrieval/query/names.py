"""Read concepts and saved searches from the catalog; a query names them as @NAME."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.errors import QueryError
from retrieval.query.ast import Concept, Operand, Query, Term
from retrieval.query.parser import parse
from retrieval.scoring.calibration import Calibration, normalize_rows
from retrieval.scoring.linear_probe import Probe
from retrieval.types import VISUAL_KINDS, ConceptInfo, Space, Vectors

MAX_ALTERNATIVES = 16  # of a query, each of which is a search


def find_probe(catalog: Catalog, space: Space, name: str) -> Probe:
    """Return the probe of a concept in a space; raises QueryError with the known concepts."""
    row = catalog.db.execute(
        """SELECT p.* FROM concepts c LEFT JOIN probes p ON p.concept = c.name AND p.space = ?
            WHERE c.name = ?""",
        (space.id, name),
    ).fetchone()
    if row is None:
        raise QueryError(_unknown_name_message(catalog, name))
    if row["concept"] is None:
        raise QueryError(f"@{name} is not fitted to {space.name} yet. Run `clew teach {name}`.")
    direction = np.frombuffer(row["direction"], np.float32)
    return Probe(direction, Calibration(row["center"], row["spread"]), row["auroc"])


def concept_names(catalog: Catalog) -> list[str]:
    """Return the names of all concepts, sorted."""
    return [row[0] for row in catalog.db.execute("SELECT name FROM concepts ORDER BY name")]


def list_concepts(catalog: Catalog, space: Space) -> list[ConceptInfo]:
    """Return every concept with the numbers of its examples and its quality in this space."""
    rows = catalog.db.execute(
        """SELECT c.name, total(e.positive) AS positives, total(1 - e.positive) AS negatives,
                  max(p.auroc) AS auroc, max(p.concept) IS NOT NULL AS fitted
             FROM concepts c LEFT JOIN examples e ON e.concept = c.name
             LEFT JOIN probes p ON p.concept = c.name AND p.space = ? GROUP BY c.name ORDER BY c.name""",
        (space.id,),
    )
    return [
        ConceptInfo(
            row["name"], int(row["positives"]), int(row["negatives"]), row["auroc"], bool(row["fitted"])
        )
        for row in rows
    ]


def image_vectors(catalog: Catalog, space: Space, digests: Sequence[bytes]) -> dict[bytes, Vectors]:
    """Return digest -> vector (d,) for the contents that are images of the library."""
    images = {}
    for digest in dict.fromkeys(digests):
        ids = [id_ for id_ in catalog.segments_of(digest) if catalog.kind_of(id_) in VISUAL_KINDS]
        _, vectors = catalog.vectors_of(space, ids[:1])
        if len(vectors):
            images[digest] = normalize_rows(vectors)[0]
    return images


def saved_searches(catalog: Catalog) -> dict[str, str]:
    """Return name -> query of the saved searches, sorted by name."""
    return dict(catalog.db.execute("SELECT name, query FROM saved_searches ORDER BY name"))


def expand_saved_searches(query: Query, saved: Mapping[str, str]) -> Query:
    """Return a query with the saved searches that it names written out.

    Their terms take the sign and weight of the name; their filters and exclusions are added. One that has
    filters, exclusions or alternatives cannot be subtracted. Raises QueryError.
    """
    if len(query.alternatives) > MAX_ALTERNATIVES:
        raise QueryError(f"The query has more than {MAX_ALTERNATIVES} alternatives. Search for some of them.")
    if not any(name in saved for name in named_in(query)):
        return query
    parts = [part for each in query.alternatives for part in _expand_alternative(each, saved)]
    return expand_saved_searches(replace(parts[0], others=tuple(parts[1:])), {})  # counts them


def named_in(query: Query) -> list[str]:
    """Return the names of the concepts and saved searches in a query."""
    return [operand.name for operand in query.operands if isinstance(operand, Concept)]


def _expand_alternative(query: Query, saved: Mapping[str, str]) -> list[Query]:
    """Return the alternatives to which one without others expands."""
    exclusions = tuple(_expand_exclusion(operand, saved) for operand in query.exclusions)
    parts = [Query((), exclusions, query.filters)]
    for term in query.terms:
        if isinstance(term.operand, Concept) and term.operand.name in saved:
            found = _saved_query(term.operand.name, saved)
            if term.weight < 0 and (found.others or found.exclusions or found.filters):
                raise QueryError(
                    f"@{term.operand.name} is a saved search with filters or alternatives, so it can be "
                    "added (+) but not subtracted (-)."
                )
            parts = [_add(part, each, term.weight) for part in parts for each in found.alternatives]
        else:
            parts = [_add(part, Query((term,)), 1.0) for part in parts]
        if len(parts) > MAX_ALTERNATIVES:
            break
    return parts


def _add(query: Query, found: Query, weight: float) -> Query:
    """Return a query with the terms of another one, weighted, its exclusions and filters."""
    terms = tuple(Term(term.operand, weight * term.weight) for term in found.terms)
    return Query(query.terms + terms, query.exclusions + found.exclusions, query.filters + found.filters)


def _expand_exclusion(operand: Operand, saved: Mapping[str, str]) -> Operand:
    if not isinstance(operand, Concept) or operand.name not in saved:
        return operand
    found = _saved_query(operand.name, saved)
    if found != Query(found.terms[:1]) or not found.terms or found.terms[0].weight < 0:
        raise QueryError(f"@{operand.name} is a saved search of several parts; not: takes one that has one.")
    return found.terms[0].operand


def _saved_query(name: str, saved: Mapping[str, str]) -> Query:
    """Return a saved search with those that it names written out; one that names itself is an error."""
    others = {other: query for other, query in saved.items() if other != name}
    query = expand_saved_searches(parse(saved[name]), others)
    if name in named_in(query):
        raise QueryError(f"The saved search @{name} names itself. Save another query under this name.")
    return query


def _unknown_name_message(catalog: Catalog, name: str) -> str:
    """Return a message with at most 20 known names, similar ones first."""
    names = sorted([*concept_names(catalog), *saved_searches(catalog)])
    if not names:
        return (
            f"Unknown name @{name}. This library has no concepts yet, and no saved searches; `clew teach "
            "NAME FOLDER` adds a concept, and `clew save NAME QUERY` saves a search."
        )
    similar = get_close_matches(name, names, len(names), 0.6)
    known = [f"@{known}" for known in [*similar, *(other for other in names if other not in similar)]]
    more = f" and {len(known) - 20} more" * (len(known) > 20)
    return f"Unknown name @{name}. This library has {', '.join(known[:20])}{more}."
