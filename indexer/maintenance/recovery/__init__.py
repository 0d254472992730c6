"""Recover a damaged catalog.

incomplete_contents  Delete contents with lost rows, so that the next run reads their files again.
readable_rows        Read the rows of a damaged SQLite database that SQLite can still read.
recover_catalog      Replace a damaged catalog by one with its readable rows.
"""
