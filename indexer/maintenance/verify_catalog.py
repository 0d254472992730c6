"""Verify the catalog and the index files of a library."""

from dataclasses import dataclass, field

from indexer.maintenance.build_index import build_indexes, index_damage
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import HAS_NO_VECTOR, vectors_table


@dataclass(slots=True)
class Findings:
    """Results of a verification."""

    errors: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # harmless
    catalog_ok: bool = True  # else nothing is repaired


def verify(writer: LibraryWriter, *, repair: bool = False) -> Findings:
    """Check the catalog, that segments and vectors correspond, and the SHA-256 of index files.

    `repair` rebuilds damaged indexes; a damaged catalog has to be restored from a backup.
    """
    catalog = writer.catalog
    findings = Findings(_check_catalog(catalog))
    findings.catalog_ok = not findings.errors
    for space in catalog.spaces():
        damages = [damage for file in space.indexes if (damage := index_damage(catalog, file))]
        if damages and repair and not findings.errors:
            build_indexes(writer, space, catalog.settings().index_method)
            findings.repaired += [f"{damage} Rebuilt." for damage in damages]
        else:
            advice = "" if findings.errors else " `clew verify --repair` rebuilds it."
            findings.errors += [damage + advice for damage in damages]
    return findings


def _check_catalog(catalog: Catalog) -> list[str]:
    errors = [
        f"The catalog is damaged: {row[0]}."
        for row in catalog.db.execute("PRAGMA integrity_check(5)")
        if row[0] != "ok"
    ]
    counts = {
        "files have an incomplete content": """SELECT count(*) FROM files f
             JOIN contents c ON c.id = f.content WHERE c.segments IS NOT
                  (SELECT count(*) FROM segments s WHERE s.content = c.id)""",
    }
    for space in catalog.spaces():
        table = vectors_table(space.id)
        counts[f"vectors of {space.name} have no segment"] = f"""SELECT count(*) FROM {table} v
             WHERE NOT EXISTS (SELECT 1 FROM segments s WHERE s.id = v.segment)"""
        if space.complete and space == catalog.space():  # others are completed by a switch
            counts["segments have no vector"] = f"""SELECT count(*) FROM segments s
                 WHERE NOT ({HAS_NO_VECTOR})
                   AND NOT EXISTS (SELECT 1 FROM {table} v WHERE v.segment = s.id)"""
    for problem, query in counts.items():
        if count := catalog.db.execute(query).fetchone()[0]:
            errors.append(f"{count:,} {problem}.")
    return errors
