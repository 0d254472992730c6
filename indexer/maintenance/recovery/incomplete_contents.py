"""Delete contents with lost rows, so that the next run reads their files again."""

from indexer.sqlite_tools import sqlite_utils
from retrieval.catalog.schema import HAS_NO_VECTOR, vectors_table
from retrieval.catalog.settings import LibrarySettings

KEYWORD_TABLES = ("text_words", "text_pieces", "name_words", "name_pieces")


def delete_incomplete(db: sqlite_utils.Database) -> int:
    """Delete what refers to lost rows, and the contents that lack segments or vectors, with their files.

    Return the number of these contents. Vectors of new files are written to the active space only, so those
    of other spaces may be missing. Without a space, all contents are incomplete.
    """
    active = LibrarySettings.read(db.conn).active_space  # None if the row is lost
    spaces = [
        (space, complete and active in (None, name))
        for space, name, complete in db.execute("SELECT id, name, complete FROM spaces").fetchall()
    ]
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    vectors = [vectors_table(space) for space, _ in spaces]
    for table in set(vectors) - tables:
        db.execute(f"CREATE TABLE {table} (segment INTEGER PRIMARY KEY, vector BLOB NOT NULL) STRICT")
    complete = [vectors_table(space) for space, is_complete in spaces if is_complete]
    with db.atomic():
        _delete_orphans(db, vectors)
        lost = "SELECT id FROM contents c WHERE " + (_is_incomplete(complete) if spaces else "TRUE")
        db.execute(f"CREATE TEMP TABLE incomplete AS {lost}")
        segments = "SELECT id FROM segments WHERE content IN (SELECT id FROM incomplete)"
        db.execute("DELETE FROM files WHERE content IN (SELECT id FROM incomplete)")
        for table in (*vectors, "tags", "captions"):
            db.execute(f"DELETE FROM {table} WHERE segment IN ({segments})")
        for table in ("segments", "analyses", "keywords"):
            db.execute(f"DELETE FROM {table} WHERE content IN (SELECT id FROM incomplete)")
        count = int(db.execute("DELETE FROM contents WHERE id IN (SELECT id FROM incomplete)").rowcount)
        db.execute("DROP TABLE incomplete")
        db.execute("UPDATE spaces SET indexed_to = 0")
        for table in KEYWORD_TABLES:
            db.execute(f"INSERT INTO {table} ({table}) VALUES ('rebuild')")
    return count


def _is_incomplete(vectors: list[str]) -> str:
    """Return the condition of contents `c` that lack segments, or vectors in one of the tables."""
    conditions = ["c.segments IS NOT (SELECT count(*) FROM segments s WHERE s.content = c.id)"]
    conditions += [
        f"""EXISTS (SELECT 1 FROM segments s WHERE s.content = c.id AND NOT ({HAS_NO_VECTOR})
                       AND NOT EXISTS (SELECT 1 FROM {table} v WHERE v.segment = s.id))"""
        for table in vectors
    ]
    return " OR ".join(conditions)


def _delete_orphans(db: sqlite_utils.Database, vectors: list[str]) -> None:
    """Delete the rows that refer to lost ones."""
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    references = [
        f"DELETE FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN (SELECT {key} FROM {parent})"
        for table in tables
        for _, _, parent, column, key, *_ in db.execute(f"PRAGMA foreign_key_list({table})").fetchall()
    ]
    references += [f"DELETE FROM {table} WHERE segment NOT IN (SELECT id FROM segments)" for table in vectors]
    while sum(db.execute(statement).rowcount for statement in references):
        pass
