"""Look a library over: is what is on disk what was written?"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from indexer.build import build, current
from indexer.writer import Writer
from retrieval.catalog import Catalog
from retrieval.errors import LibraryDamaged
from retrieval.nearest import open_index
from retrieval.schema import INDEXES, vectors_table
from retrieval.vectors.faiss_index import kind_for


@dataclass(slots=True)
class Findings:
    """What is wrong, and what was mended."""

    wrong: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)


def verify(writer: Writer, *, repair: bool = False) -> Findings:
    """Check the catalogue, that segments and vectors are one to one, and the index file's SHA-256.

    `repair` builds a wrong index again; what is wrong in the catalogue is for a backup to mend.
    """
    findings = Findings(_check_catalogue(writer.catalog))
    wrong = _check_index(writer.catalog)
    if wrong and repair and not findings.wrong:
        space = build(writer, current(writer.catalog).index_kind or kind_for(0))
        findings.mended.append(f"{wrong} Built again: {space.file}.")
    elif wrong:
        findings.wrong.append(f"{wrong} `clew verify --repair` builds it again.")
    return findings


def _check_catalogue(catalog: Catalog) -> list[str]:
    wrong = [
        f"The catalogue is damaged: {row[0]}."
        for row in catalog.db.execute("PRAGMA integrity_check(5)")
        if row[0] != "ok"
    ]
    table = vectors_table(current(catalog).id)
    counts = {
        "segments have no vector": f"""SELECT count(*) FROM segments s
             WHERE NOT EXISTS (SELECT 1 FROM {table} v WHERE v.segment = s.id)""",
        "vectors have no segment": f"""SELECT count(*) FROM {table} v
             WHERE NOT EXISTS (SELECT 1 FROM segments s WHERE s.id = v.segment)""",
        "files point at content that is not whole": """SELECT count(*) FROM files f
             JOIN contents c ON c.id = f.content WHERE c.segments IS NOT
                  (SELECT count(*) FROM segments s WHERE s.content = c.id)""",
    }
    for what, query in counts.items():
        if count := catalog.db.execute(query).fetchone()[0]:
            wrong.append(f"{count:,} {what}.")
    return wrong


def _check_index(catalog: Catalog) -> str | None:
    """Return what is wrong with the index file, if anything."""
    space = current(catalog)
    if space.file is None:
        return None
    try:
        open_index(catalog.folder, space)
    except LibraryDamaged as error:
        return str(error)
    path = catalog.folder / INDEXES / space.file
    return None if _digest(path) == space.digest else f"The index file {path} is not what was written."


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
