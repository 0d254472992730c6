"""Keep the files of a library intact after crashes, and detect damage of the catalog.

Modules: durable_files (write, sync, rename), log_frames (the pages in SQLite's write-ahead log),
page_checksums (of the catalog, in their own file), catalog_connection (records them before each checkpoint).
"""
