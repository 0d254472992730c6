"""Check a library after a fault: its state, its answers, and rows and files that belong to nothing."""

import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from indexer import restore_library, verify_library
from retrieval import Library
from retrieval.catalog.reader import Catalog
from retrieval.catalog.schema import (
    CATALOG_FILE,
    INDEX_FOLDER,
    LIBRARY_FILE_NAMES,
    THUMBNAILS_FILE,
    vectors_table,
)
from retrieval.errors import LibraryError, LibraryMissing, LibraryVersionMismatch
from retrieval.vectors.space_index import SpaceIndex
from tests.support.faults.operations import BACKUP, embedder_of, find, run_all
from tests.support.faults.state import FINDABLE_IMAGES, connect, read_state

ALL = 100_000
EMPTY_LIBRARY = "The library is empty"  # before its first commit
QUERIES = ("red", "blue green")
MAX_SCORE_ERROR = 2e-3  # of float16 vectors


def check(library: str, writes: bool = True) -> dict[str, Any]:
    """Return the state of a library and its problems; with `writes`, also those that `verify` finds."""
    folder = Path(library)
    state = read_state(folder)  # before `verify` migrates a library of an earlier version
    problems = answer_problems(folder)
    if writes and (folder / CATALOG_FILE).exists():
        with suppress(LibraryMissing):  # killed before the first commit
            errors = verify_library(folder).errors
            problems += [f"verify: {error}" for error in errors if not error.startswith(EMPTY_LIBRARY)]
    backup = folder.with_name(BACKUP)
    if backup.exists():  # it is complete, or the one before
        restored = folder.with_name(f".{folder.name}.restored")
        try:
            restore_library(backup, library=restored)
        except LibraryError as error:
            problems.append(f"backup: {error}")
        shutil.rmtree(restored, ignore_errors=True)
    return {"state": asdict(state), "problems": problems}


def recover(operation: str, library: str, media: str, verify: bool) -> dict[str, Any]:
    """Check a library after a fault, run the operation again, and check it again."""
    after = check(library, verify)
    find(operation)(Path(library), Path(media))
    return {"after": after, "completed": check_completed(library)}


def check_completed(library: str) -> dict[str, Any]:
    """Return the contents of a library after an operation that was completed, its problems and orphans."""
    folder = Path(library)
    checked = check(library)
    with closing(sqlite3.connect(folder / CATALOG_FILE)) as db:
        return {**checked, "orphans": orphans(folder, db), "contents": contents_digest(db)}


def answer_problems(folder: Path) -> list[str]:
    """Return the differences between the answers of a reader and a comparison of all vectors."""
    try:
        catalog = Catalog.open(folder)
    except LibraryMissing:
        return []
    except LibraryVersionMismatch as error:
        return [f"reader: {error}"]
    with closing(catalog):
        space = catalog.space()
        if space is None:  # killed before the first commit
            return []
        index = SpaceIndex(catalog, space)
        problems = [] if index.damage is None else [f"reader: {index.damage}"]
        embedder = embedder_of(space)
        for words in QUERIES:
            query = embedder.embed_texts([words])
            for kind in catalog.kinds():
                problems += ranking_problems(catalog, index, query, kind)
    with closing(connect(folder)) as db:
        expected = db.execute(f"SELECT count(DISTINCT content) FROM ({FINDABLE_IMAGES})").fetchone()[0]
    with Library.open(folder, embedder=embedder) as opened:
        for words in QUERIES * (not opened.is_outdated):  # its words cannot be embedded until a switch
            hits = opened.search(words, kind="image", count=ALL)
            if len(hits) != expected or len({hit.id for hit in hits}) != len(hits):
                problems.append(f"answers: {len(hits)} images, not {expected}")
    return problems


def ranking_problems(catalog: Catalog, index: SpaceIndex, query: Any, kind: Any) -> list[str]:
    """Return the differences between a ranking and a comparison with all vectors of a kind."""
    scores, ids = index.search(query, kind, ALL)
    exact = {}
    for known, vectors in catalog.vectors_after(index.space, kind, 0):
        exact |= dict(zip(known.tolist(), (vectors @ query[0]).tolist(), strict=True))
    if len(set(ids.tolist())) != len(ids):
        return [f"answers: {kind} segments twice"]
    if set(ids.tolist()) != set(exact):
        missing, more = len(set(exact) - set(ids.tolist())), len(set(ids.tolist()) - set(exact))
        return [f"answers: {missing} {kind} segments missing, {more} that do not exist"]
    errors = [abs(score - exact[id_]) for id_, score in zip(ids.tolist(), scores.tolist(), strict=True)]
    if max(errors, default=0.0) > MAX_SCORE_ERROR or (np.diff(scores) > MAX_SCORE_ERROR).any():
        return [f"answers: scores of {kind} differ by {max(errors):.4f}"]
    return []


def orphans(folder: Path, db: sqlite3.Connection) -> list[str]:
    """Return a line for each kind of row or file that belongs to nothing."""
    counts = {
        "segments without content": "FROM segments WHERE content NOT IN (SELECT id FROM contents)",
        "contents that are incomplete": "FROM contents WHERE segments IS NULL",
        "contents with another number of segments": """FROM contents c WHERE c.segments !=
            (SELECT count(*) FROM segments s WHERE s.content = c.id)""",
        "files with a content that does not exist": """FROM files
            WHERE content IS NOT NULL AND content NOT IN (SELECT id FROM contents)""",
        "tags without segment": "FROM tags WHERE segment NOT IN (SELECT id FROM segments)",
        "broken references": "FROM pragma_foreign_key_check",
    }
    spaces = [row[0] for row in db.execute("SELECT id FROM spaces")]
    tables = {f"vectors_{id_}" for id_ in spaces}
    for id_ in spaces:
        counts[f"vectors of space {id_} without segment"] = (
            f"FROM {vectors_table(id_)} WHERE segment NOT IN (SELECT id FROM segments)"
        )
    found = [
        f"{n} {name}"
        for name, query in counts.items()
        if (n := db.execute(f"SELECT count(*) {query}").fetchone()[0])
    ]
    names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    found += [
        f"table {name} without space" for name in names if name.startswith("vectors_") and name not in tables
    ]
    used = {row[0] for row in db.execute("SELECT file FROM indexes")}
    stored = {path.name for path in (folder / INDEX_FOLDER).iterdir()}
    found += [f"index file {name} without row" for name in sorted(stored - used)]
    found += [f"index file {name} missing" for name in sorted(used - stored)]
    beside = {folder.name, BACKUP} | {path.name for path in folder.parent.glob(f"{folder.name}.replaced-*")}
    found += [
        f"{path.name} beside the library" for path in folder.parent.iterdir() if path.name not in beside
    ]
    found += [f"file {path.name}" for path in folder.iterdir() if path.name not in LIBRARY_FILE_NAMES]
    return found + thumbnail_orphans(folder, db) + keyword_problems(db)


def thumbnail_orphans(folder: Path, db: sqlite3.Connection) -> list[str]:
    """Return a line if there are thumbnails of segments that do not exist."""
    if not (folder / THUMBNAILS_FILE).exists():
        return []
    ids = {row[0] for row in db.execute("SELECT id FROM segments")}
    with closing(sqlite3.connect(folder / THUMBNAILS_FILE)) as thumbnails:
        count = sum(row[0] not in ids for row in thumbnails.execute("SELECT segment FROM thumbnails"))
    return [f"{count} thumbnails without segment"] if count else []


def keyword_problems(db: sqlite3.Connection) -> list[str]:
    """Return the full-text tables that SQLite finds damaged."""
    rows = db.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%fts5(%'").fetchall()
    problems = []
    for (name,) in rows:
        try:
            db.execute(f"INSERT INTO {name} ({name}) VALUES ('integrity-check')")
        except sqlite3.DatabaseError as error:
            problems.append(f"full-text table {name}: {error}")
    db.rollback()
    return problems


def contents_digest(db: sqlite3.Connection) -> dict[str, str]:
    """Return digests of what a library holds, without ids and times, so that two libraries are compared."""
    queries = {
        "files": """SELECT f.path, f.size, f.state, f.error, c.hash FROM files f
                      LEFT JOIN contents c ON c.id = f.content""",
        "segments": """SELECT c.hash, c.decoder, c.segments, s.ordinal, s.kind, s.text FROM segments s
                         JOIN contents c ON c.id = s.content""",
        "settings": "SELECT name, value FROM settings",
        "roots": "SELECT path, state FROM roots",
        "spaces": "SELECT name, complete FROM spaces",
        "archives": "SELECT path, size, mtime FROM archives",
        "labels": "SELECT DISTINCT name FROM labels",
        "examples": "SELECT concept, hash, positive FROM examples",
        "probes": "SELECT concept, count(*) FROM probes GROUP BY concept",
        "saved searches": "SELECT name, query FROM saved_searches",
    }
    for name, id_ in db.execute("SELECT name, id FROM spaces").fetchall():
        queries[
            f"vectors of {name}"
        ] = f"""SELECT c.hash, c.decoder, s.ordinal, v.vector FROM {vectors_table(id_)} v
            JOIN segments s ON s.id = v.segment JOIN contents c ON c.id = s.content"""
    digests = {}
    for name, query in queries.items():
        rows = sorted(map(repr, db.execute(query).fetchall()))
        digests[name] = f"{len(rows)} rows, {blake2b(repr(rows).encode(), digest_size=8).hexdigest()}"
    return digests


def warm_up(library: str, media: str) -> None:
    """Import the modules of all operations and checks."""
    run_all(library, media)
    check_completed(library)
