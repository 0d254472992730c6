"""Read concepts from the catalog."""

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np

from retrieval.catalog.reader import Catalog
from retrieval.errors import QueryError
from retrieval.scoring.calibration import Calibration, normalize_rows
from retrieval.scoring.linear_probe import Probe
from retrieval.types import VISUAL_KINDS, ConceptInfo, Space, Vectors


def find_probe(catalog: Catalog, space: Space, name: str) -> Probe:
    """Return the probe of a concept in a space; raises QueryError with the known concepts."""
    row = catalog.db.execute(
        """SELECT p.* FROM concepts c LEFT JOIN probes p ON p.concept = c.name AND p.space = ?
            WHERE c.name = ?""",
        (space.id, name),
    ).fetchone()
    if row is None:
        raise QueryError(_unknown_concept_message(catalog, name))
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


def _unknown_concept_message(catalog: Catalog, name: str) -> str:
    """Return a message with at most 20 known concepts, similar names first."""
    names = concept_names(catalog)
    if not names:
        return (
            f"Unknown concept @{name}. This library has no concepts yet; `clew teach NAME FOLDER` adds one."
        )
    similar = get_close_matches(name, names, len(names), 0.6)
    known = [f"@{known}" for known in [*similar, *(other for other in names if other not in similar)]]
    more = f" and {len(known) - 20} more" * (len(known) > 20)
    return f"Unknown concept @{name}. This library has {', '.join(known[:20])}{more}."
