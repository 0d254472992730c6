"""What a library has committed, read from its catalog."""

import sqlite3
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).parents[2]


def held(place) -> set[tuple[bytes, str, int, str | None]]:
    """Return what a library has committed: (hash, reader, ordinal, text) of each segment."""
    if not (place / "catalogue.sqlite").exists():
        return set()
    with closing(sqlite3.connect(place / "catalogue.sqlite")) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'segments'").fetchone():
            return set()
        return set(
            db.execute(
                """SELECT c.hash, c.reader, s.ordinal, s.text
                     FROM segments s JOIN contents c ON c.id = s.content"""
            )
        )
