"""Recover a damaged catalog.

Modules: readable_rows (of tables with damaged pages), recover_catalog (copy them into a new catalog).
"""
