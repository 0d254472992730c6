"""Write the settings of a library."""

from indexer.sqlite_tools import sqlite_utils
from retrieval.catalog.settings import LibrarySettings


def save_settings(db: sqlite_utils.Database, settings: LibrarySettings) -> None:
    """Write the settings that differ from those in the catalog, within a transaction.

    The others are not written, so that a setting that was never saved follows a new default.
    """
    changed = settings.rows().items() - LibrarySettings.read(db.conn).rows().items()
    db.conn.executemany("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", changed)
