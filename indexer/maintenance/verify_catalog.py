"""Verify the catalog and the index files of a library."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from indexer.maintenance.build_index import build_if_due
from indexer.store.writer import LibraryWriter
from retrieval.catalog.connection import connect_read_only
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import CATALOG_FILE, HAS_NO_VECTOR, vectors_table
from retrieval.errors import LibraryDamaged
from retrieval.types import Space
from retrieval.vectors.index_files import check_index_file


@dataclass(slots=True)
class Findings:
    """Results of a verification."""

    errors: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # harmless
    catalog_ok: bool = True  # else nothing is repaired
    compared: int = 0  # vectors that were embedded again


def structure_errors(folder: Path) -> list[str]:
    """Return what SQLite finds damaged in a catalog."""
    try:
        with closing(connect_read_only(folder / CATALOG_FILE).db) as db:
            messages = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
    except sqlite3.DatabaseError as error:
        messages = [str(error)]
    return [f"The catalog is damaged: {message}." for message in messages if message != "ok"]


def verify_indexes(writer: LibraryWriter, findings: Findings, *, repair: bool) -> None:
    """Check the SHA-256 of index files; `repair` rebuilds damaged ones.

    Those of a catalog in which rows were deleted are rebuilt, too.
    """
    catalog = writer.catalog
    if findings.repaired and catalog.space() is not None:
        build_if_due(writer)
    for space in catalog.spaces():
        damages = _index_damages(catalog, space)
        if damages and repair:
            build_if_due(writer, space=space, completely=True)
            findings.repaired += [f"{damage} Rebuilt." for damage in damages]
        else:
            findings.errors += [f"{damage} `clew verify --repair` rebuilds it." for damage in damages]


def _index_damages(catalog: Catalog, space: Space) -> list[str]:
    damages = []
    for file in space.indexes:
        try:
            check_index_file(catalog.folder, file, completely=True)
        except LibraryDamaged as error:
            damages.append(str(error))
    return damages


def relation_errors(catalog: Catalog) -> list[str]:
    """Return which rows of a catalog lack others that belong to them."""
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
    found = {problem: catalog.db.execute(query).fetchone()[0] for problem, query in counts.items()}
    return [f"{count:,} {problem}." for problem, count in found.items() if count]
