"""Steps of an indexing run.

backfill   Add what earlier runs left out, because files were offline or the version was older.
import_shards  Import shards into a library, update its indexes and publish its vectors.
new_files  Read, embed and write the new files of a scan.
notes      Notes of an indexing run on exclude patterns, partly read files and links.
publishing  Publish the changes of a run to the Milvus server of the library.
reconcile  Set the states of known files after a scan: present, moved, offline or gone.
"""
