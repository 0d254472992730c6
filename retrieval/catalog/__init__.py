"""The SQLite catalog, read only."""
