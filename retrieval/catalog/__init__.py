"""The SQLite catalog, read only.

connection      Open the databases of a library read-only, also for readers who may not write to its folder.
file_details    Read everything that the catalog knows of a file.
filter_sql      Evaluate filters by SQL on segments s, files f and roots r.
hit_rows        SQL from segments to the files that contain them, and hits from its rows.
keyword_tables  The SQL of the full-text tables and of the triggers that fill them.
migrations      The migrations that create the tables of the catalog.
named_segments  Find the segments that the names of files match.
reader          Read the catalog with sqlite3, read-only, so that no reader can damage a library.
schema          Names of the files and tables of a library.
settings        Settings that a library keeps for later runs.
status          Read the status of a library: roots, counts, settings and failures.
thumbnails      Read thumbnails: WebP images in a separate file of the library.
current_schema.sql  The tables of a new catalog, as all migrations make them.
browse/         What a page shows of a library beyond hits.
"""
