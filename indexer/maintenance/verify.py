"""Look a library over: is what is on disk what was written?"""

from dataclasses import dataclass, field

from indexer.maintenance.build_index import build_indexes, index_damage
from indexer.store.writer import LibraryWriter
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import vectors_table


@dataclass(slots=True)
class Findings:
    """What is wrong, what was mended, and what is no harm but could be better."""

    errors: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    catalog_ok: bool = True  # the catalogue, by which all else is judged


def verify(writer: LibraryWriter, *, repair: bool = False) -> Findings:
    """Check the catalogue, that segments and vectors are one to one, and the index files' SHA-256.

    `repair` builds a wrong index again; what is wrong in the catalogue is for a backup to mend.
    """
    catalog = writer.catalog
    findings = Findings(_check_catalog(catalog))
    findings.catalog_ok = not findings.errors
    for space in catalog.spaces():
        wrong = [what for file in space.indexes if (what := index_damage(catalog, file))]
        if wrong and repair and not findings.errors:
            build_indexes(writer, space, catalog.settings().index_method)
            findings.repaired += [f"{what} Built again." for what in wrong]
        else:
            mend = "" if findings.errors else " `clew verify --repair` builds it again."
            findings.errors += [what + mend for what in wrong]
    return findings


def _check_catalog(catalog: Catalog) -> list[str]:
    wrong = [
        f"The catalogue is damaged: {row[0]}."
        for row in catalog.db.execute("PRAGMA integrity_check(5)")
        if row[0] != "ok"
    ]
    counts = {
        "files point at content that is not whole": """SELECT count(*) FROM files f
             JOIN contents c ON c.id = f.content WHERE c.segments IS NOT
                  (SELECT count(*) FROM segments s WHERE s.content = c.id)""",
    }
    for space in catalog.spaces():
        table = vectors_table(space.id)
        counts[f"vectors of {space.name} have no segment"] = f"""SELECT count(*) FROM {table} v
             WHERE NOT EXISTS (SELECT 1 FROM segments s WHERE s.id = v.segment)"""
        if space.complete and space == catalog.space():  # another is filled when it is switched to
            counts["segments have no vector"] = f"""SELECT count(*) FROM segments s
                 WHERE NOT EXISTS (SELECT 1 FROM {table} v WHERE v.segment = s.id)"""
    for what, query in counts.items():
        if count := catalog.db.execute(query).fetchone()[0]:
            wrong.append(f"{count:,} {what}.")
    return wrong
