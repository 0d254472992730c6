"""The concepts of a library, as the catalogue has them."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.errors import QueryError
from retrieval.scoring.calibration import Calibration, normalize_rows
from retrieval.scoring.linear_probe import VISUAL_KINDS, Probe
from retrieval.types import ConceptInfo, Space, Vectors


def find_probe(catalog: Catalog, space: Space, name: str) -> Probe:
    """Return what was learned of a concept in a space; raises QueryError, which names those there are."""
    row = catalog.db.execute(
        """SELECT p.* FROM concepts c LEFT JOIN probes p ON p.concept = c.name AND p.space = ?
            WHERE c.name = ?""",
        (space.id, name),
    ).fetchone()
    if row is None:
        raise QueryError(_unknown_concept_message(catalog, name))
    if row["concept"] is None:
        raise QueryError(f"@{name} was not learned with {space.name} yet: `clew teach {name}` does it.")
    direction = np.frombuffer(row["direction"], np.float32)
    return Probe(direction, Calibration(row["center"], row["spread"]), row["auroc"])


def concept_names(catalog: Catalog) -> list[str]:
    """Return the names of all concepts, in order."""
    return [row[0] for row in catalog.db.execute("SELECT name FROM concepts ORDER BY name")]


def list_concepts(catalog: Catalog, space: Space) -> list[ConceptInfo]:
    """Return every concept with the numbers of its examples, and how well this space tells them apart."""
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
    """Return the (d,) vector of each of these contents that is a picture of the library."""
    found = {}
    for digest in dict.fromkeys(digests):
        ids = [id_ for id_ in catalog.segments_of(digest) if catalog.kind_of(id_) in VISUAL_KINDS]
        _, vectors = catalog.vectors_of(space, ids[:1])
        if len(vectors):
            found[digest] = normalize_rows(vectors)[0]
    return found


def _unknown_concept_message(catalog: Catalog, name: str) -> str:
    """Say that there is no such concept, and which there are, those of a like name first."""
    there = concept_names(catalog)
    near = get_close_matches(name, there, len(there) or 1, 0.6)
    known = [f"@{each}" for each in [*near, *(each for each in there if each not in near)]]
    if not known:
        known = ["none yet; `clew teach NAME FOLDER` makes one"]
    more = f" and {len(known) - 20} more" * (len(known) > 20)
    return f"There is no concept @{name} in this library; there is {', '.join(known[:20])}{more}."
