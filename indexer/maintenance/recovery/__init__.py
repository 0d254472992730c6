"""Recover a damaged catalog.

readable_rows    Read the rows of a damaged SQLite database that SQLite can still read.
recover_catalog  Replace a damaged catalog by one with its readable rows.
"""
