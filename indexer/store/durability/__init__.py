"""Keep the files of a library intact after crashes, and detect and restore damage of the catalog.

catalog_connection  Open the catalog for writing; each checkpoint records checksums and parity of its pages.
damage              Find and restore damaged pages of the catalog.
durable_files       Replace files so that a crash leaves either the old or the new one.
log_frames          Read the pages in the write-ahead log of a SQLite database.
losses              The commits that were lost with a damaged log, recorded until they are reported.
page_checksums      Checksums of the pages of the catalog, in a file of their own.
page_file           Read and write pages of the catalog's file while SQLite has it open.
parity              Parity of the catalog's pages, from which damaged pages are restored.
"""
